// What a packed dataset says of its arrays, and a file that need not have them: parts of a file
// that are mapped, read, written and cut, and slots of features as a file may state them. What is
// mapped is what the file holds, and slots that pass for valid lead nowhere outside their array.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "binding/mapping.h"
#include "input.h"
#include "ops/data/slots.h"

namespace {

using namespace astgnn::binding;
using astgnn::ops::Slots;
using fuzz::require;

constexpr int64_t kPage = 4096;

uint8_t content(int64_t place) { return static_cast<uint8_t>(1 + place % 251); }

// A file in memory, with a name.
class File {
 public:
  explicit File(int64_t bytes) : file_(::memfd_create("packed", MFD_CLOEXEC)) {
    require(file_ >= 0, "a file in memory");
    std::vector<uint8_t> all(static_cast<size_t>(bytes));
    for (int64_t i = 0; i < bytes; ++i) all[static_cast<size_t>(i)] = content(i);
    require(::pwrite(file_, all.data(), all.size(), 0) == bytes, "the file is written");
  }
  ~File() { ::close(file_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }
  int64_t bytes() const { return ::lseek(file_, 0, SEEK_END); }
  void cut(int64_t bytes) { require(::ftruncate(file_, bytes) == 0, "the file is cut"); }
  uint8_t at(int64_t place) const {
    uint8_t byte = 0;
    require(::pread(file_, &byte, 1, place) == 1, "the file is read");
    return byte;
  }

 private:
  int file_;
};

// Places and sizes around what the file and its pages have, and the largest that are passed on.
int64_t edge(fuzz::Input& input, int64_t bytes, int64_t most) {
  const int64_t near = static_cast<int64_t>(input.below(9)) - 4;
  switch (input.byte() % 6) {
    case 0:
      return input.below(64);
    case 1:
      return std::max<int64_t>(0, bytes + near);
    case 2:
      return std::max<int64_t>(0, input.below(4) * kPage + near);
    case 3:
      return std::max<int64_t>(0, most - input.below(300));
    case 4:
      return std::max<int64_t>(0, bytes / 2 + near);
    default:
      return input.below(bytes + 1);
  }
}

bool is_zero_or_as_written(uint8_t byte, int64_t place) {
  return byte == 0 || byte == content(place);
}

// A cut is remembered for good: what is mapped later must be refused, too.
bool was_cut = false;

bool refuses_cut_files() {
  try {
    refuse_cut_files();
    return false;
  } catch (const BindingError& error) {
    require(error.failure.code == "ERR_DATA", "a cut file is the data's fault");
    return true;
  }
}

void map_to_read(fuzz::Input& input, File& file) {
  const int64_t had = file.bytes(), offset = edge(input, had, int64_t{1} << 53);
  const int64_t bytes =
      std::max<int64_t>(1, edge(input, had - std::min(had, offset), int64_t{1} << 52));
  const bool fits = offset <= had && bytes <= had - offset;
  std::shared_ptr<Mapping> mapping;
  try {
    mapping = std::make_shared<Mapping>(file.path(), offset, bytes, Mapping::Use::kRead);
  } catch (const BindingError& error) {
    require(!fits && error.failure.code == "ERR_DATA", "what the file holds is mapped");
    return;
  }
  require(fits, "what the file does not hold is refused");
  auto* data = reinterpret_cast<uint8_t*>(mapping->data());
  for (int64_t i = 0; i < bytes; ++i) require(data[i] == content(offset + i), "it is mapped");
  const int64_t from = input.below(bytes), some = input.below(bytes - from + 1);
  mapping->expect(from, some);
  mapping->release(from, some);
  if (input.byte() % 8 == 0) {
    const int64_t left = input.below(had + 1);
    file.cut(left);
    int64_t gone = 0;
    for (int64_t i = 0; i < bytes; ++i) {
      require(is_zero_or_as_written(data[i], offset + i), "what is cut reads as zeros");
      gone += (offset + i) / kPage * kPage >= (left + kPage - 1) / kPage * kPage;
    }
    was_cut = was_cut || gone > 0;
  } else {
    // Its own: the file keeps what it has.
    data[from] = 0;
    require(file.at(offset + from) == content(offset + from), "the file is not written to");
  }
  const auto count = bytes / 4;
  if (count > 0 && (offset % 4) == 0) {
    auto tensor = tensor_over(std::move(mapping), {count}, at::kFloat).slice(0, count / 2);
    const auto* last = reinterpret_cast<const uint8_t*>(tensor.const_data_ptr());
    for (int64_t i = 0; i < tensor.numel() * 4; ++i)
      require(is_zero_or_as_written(last[i], offset + count / 2 * 4 + i), "a view keeps it mapped");
  }
}

void map_to_write(fuzz::Input& input, File& file) {
  const int64_t had = file.bytes(), offset = input.below(had + 1);
  const int64_t bytes = 1 + input.below(2 * kPage);
  {
    Mapping mapping(file.path(), offset, bytes, Mapping::Use::kWrite);
    auto* data = reinterpret_cast<uint8_t*>(mapping.data());
    for (int64_t i = 0; i < bytes; ++i) data[i] = content(offset + i);
    const int64_t from = input.below(bytes);
    mapping.release(from, input.below(bytes - from + 1));
    for (int64_t i = 0; i < bytes; ++i) require(data[i] == content(offset + i), "it is kept");
  }
  require(file.bytes() == std::max(had, offset + bytes), "the file is as long as it has to be");
  for (const int64_t i : {offset, offset + bytes - 1})
    require(file.at(i) == content(i), "the file takes what is written");
}

std::vector<int32_t> dates_of(fuzz::Input& input, int64_t stocks, int64_t limit) {
  std::vector<int32_t> dates;
  for (int64_t n = 0; n < stocks; ++n) dates.push_back(input.index(limit));
  return dates;
}

Slots stated(fuzz::Input& input, int64_t dates, int64_t stocks) {
  const int64_t count = 1 + input.below(stocks + 1);
  auto slot = dates_of(input, stocks, count), from = dates_of(input, stocks, dates),
       last = dates_of(input, stocks, dates), until = dates_of(input, stocks, dates);
  return {dates, count, std::move(slot), std::move(from), std::move(last), std::move(until)};
}

void read_slots(fuzz::Input& input) {
  const int64_t dates = 1 + input.below(12), stocks = 1 + input.below(6);
  Slots slots = stated(input, dates, stocks);
  if (!slots.is_valid()) return;
  const auto check = [&] {
    for (int64_t t = 0; t < dates; ++t)
      for (int64_t n = 0; n < stocks; ++n) {
        const bool is_inside = slots.slot(n) >= 0 && slots.slot(n) < slots.count();
        require(is_inside || !(slots.lives(t, n) || slots.holds(t, n)), "a slot is of the array");
        require(slots.holds(t, n) || !slots.lives(t, n), "a stock has its slot while it lives");
      }
  };
  check();
  const int64_t others = 1 + input.below(12), offset = input.below(others);
  const Slots other = stated(input, others, stocks);
  const int64_t known = std::min(dates, others - offset);
  if (!other.is_valid() || !slots.take_over(other, offset, known)) return;
  require(slots.is_valid(), "slots stay valid");
  check();
  for (int64_t t = 0; t < known; ++t)
    for (int64_t n = 0; n < stocks; ++n)
      require(!slots.holds(t, n) || (other.slot(n) >= 0 && other.slot(n) < other.count()),
              "what is taken over is there");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  if (input.flag()) {
    read_slots(input);
    return 0;
  }
  File file(input.below(3 * kPage));
  for (int64_t left = 1 + input.below(3); left > 0; --left)
    input.byte() % 4 == 0 ? map_to_write(input, file) : map_to_read(input, file);
  require(refuses_cut_files() || !was_cut, "what was cut is noticed");
  return 0;
}
