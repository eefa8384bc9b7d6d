// A main for targets that are built without libFuzzer: each file named, and so many random inputs
// (--inputs N).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int count, char** arguments) {
  int inputs = 0, files = 0;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(arguments[i], "--inputs") == 0 && i + 1 < count) {
      inputs = std::atoi(arguments[++i]);
      continue;
    }
    std::ifstream file(arguments[i], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ++files;
  }
  for (int seed = 0; seed < inputs; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<uint8_t> bytes(random() % 1024);
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%d files, %d random inputs\n", files, inputs);
  return 0;
}
