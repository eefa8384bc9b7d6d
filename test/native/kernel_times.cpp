// Opened by the CUDA driver in the process that CUDA_INJECTION64_PATH is set for: records how long
// each kernel ran on the GPU and each call of the CUDA runtime took, and at exit writes one JSON line per kernel into the file that
// ASTGNN_KERNEL_TIMES names.
#include <cupti.h>
#include <cxxabi.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

std::mutex mutex;
// Nanoseconds of each launch, by name.
std::map<std::string, std::vector<uint64_t>>& times() {
  static auto* all = new std::map<std::string, std::vector<uint64_t>>;  // outlives the last flush
  return *all;
}

void CUPTIAPI give(uint8_t** buffer, size_t* size, size_t* records) {
  *size = size_t{4} << 20;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, *size));
  *records = 0;
}

void CUPTIAPI take(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard lock(mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel10*>(record);
      times()[kernel->name].push_back(kernel->end - kernel->start);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      const auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
      times()["copy of memory"].push_back(copy->end - copy->start);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_RUNTIME) {
      const auto* call = reinterpret_cast<const CUpti_ActivityAPI*>(record);
      const char* name = nullptr;
      if (cuptiGetCallbackName(CUPTI_CB_DOMAIN_RUNTIME_API, call->cbid, &name) == CUPTI_SUCCESS)
        times()[std::string("call of ") + name].push_back(call->end - call->start);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
      const auto* set = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
      times()["setting of memory"].push_back(set->end - set->start);
    }
  }
  std::free(buffer);
}

std::string readable(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string out = status == 0 ? text : name;
  std::free(text);
  for (char& c : out)
    if (c == '"' || c == '\\') c = '\'';
  return out;
}

void write() {
  cuptiActivityFlushAll(1);
  const std::lock_guard lock(mutex);
  const char* path = std::getenv("ASTGNN_KERNEL_TIMES");
  std::FILE* file = path ? std::fopen(path, "w") : nullptr;
  if (!file) return;
  for (auto& [name, each] : times()) {
    std::sort(each.begin(), each.end());
    uint64_t sum = 0;
    for (const uint64_t ns : each) sum += ns;
    std::fprintf(file,
                 "{\"kernel\": \"%s\", \"launches\": %zu, \"sumUs\": %.1f, \"medianUs\": %.2f}\n",
                 readable(name).c_str(), each.size(), 1e-3 * static_cast<double>(sum),
                 1e-3 * static_cast<double>(each[each.size() / 2]));
  }
  std::fclose(file);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  cuptiActivityRegisterCallbacks(give, take);
  for (const auto kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                          CUPTI_ACTIVITY_KIND_MEMSET, CUPTI_ACTIVITY_KIND_RUNTIME})
    cuptiActivityEnable(kind);
  std::atexit(write);
  return 1;
}
