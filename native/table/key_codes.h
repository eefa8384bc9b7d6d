// The distinct values of a key column, numbered in the order in which they are met.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace astgnn::table {

// DuckDB's string: texts of up to 12 bytes lie in it, padded with zeros, longer ones elsewhere.
struct Text {
  uint32_t length;
  char prefix[4];
  union {
    char rest[8];
    const char* elsewhere;
  };

  std::string_view view() const { return {length <= 12 ? prefix : elsewhere, length}; }
};
static_assert(sizeof(Text) == 16);

// Codes of texts. Short texts are told apart by their 16 bytes.
class TextCodes {
 public:
  TextCodes() : slots_(1 << 12, 0) {}

  const std::deque<std::string>& texts() const { return texts_; }

  int32_t code(const Text& text) {
    Entry key;
    std::memcpy(&key, &text, sizeof key);
    if (!texts_.empty() && key == last_ && text.length <= 12) return last_code_;
    last_code_ = text.length <= 12 ? short_code(key) : long_code(text.view());
    last_ = key;
    return last_code_;
  }

 private:
  struct Entry {
    uint64_t head, tail;
    bool operator==(const Entry& other) const { return head == other.head && tail == other.tail; }
    uint64_t hash() const {
      uint64_t h = (head ^ (tail * 0x9e3779b97f4a7c15ull)) * 0xc2b2ae3d27d4eb4full;
      return h ^ (h >> 29);
    }
  };

  int32_t short_code(const Entry& key) {
    const uint64_t mask = slots_.size() - 1;
    for (uint64_t slot = key.hash() & mask;; slot = (slot + 1) & mask) {
      if (slots_[slot] == 0) break;
      if (entries_[slots_[slot] - 1] == key) return slots_[slot] - 1;
    }
    const auto code = static_cast<int32_t>(texts_.size());
    Text text;
    std::memcpy(&text, &key, sizeof text);
    texts_.emplace_back(text.view());
    entries_.push_back(key);
    insert(code);
    return code;
  }

  int32_t long_code(std::string_view text) {
    const auto known = long_codes_.find(text);
    if (known != long_codes_.end()) return known->second;
    const auto code = static_cast<int32_t>(texts_.size());
    texts_.emplace_back(text);
    entries_.push_back({~0ull, ~0ull});  // the bytes of no short text
    long_codes_.emplace(texts_.back(), code);
    return code;
  }

  void insert(int32_t code) {
    if (2 * entries_.size() > slots_.size()) {
      slots_.assign(2 * slots_.size(), 0);
      for (int32_t other = 0; other < code; ++other)
        if (entries_[other].head != ~0ull) place(other);
    }
    place(code);
  }

  void place(int32_t code) {
    const uint64_t mask = slots_.size() - 1;
    uint64_t slot = entries_[code].hash() & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = code + 1;
  }

  std::deque<std::string> texts_;  // in place: long_codes_ points into them
  std::vector<Entry> entries_;
  std::vector<int32_t> slots_;  // open addressing: code + 1, 0 where free
  std::unordered_map<std::string_view, int32_t> long_codes_;
  Entry last_{};
  int32_t last_code_ = -1;
};

// Codes of numbers: days from 1970-01-01, or dates written as yyyymmdd.
class NumberCodes {
 public:
  NumberCodes() : direct_(1 << 17, -1) {}

  const std::vector<double>& numbers() const { return numbers_; }

  int32_t code(double number) {
    const auto whole = number >= 0 && number < 1 << 17 ? static_cast<int32_t>(number) : -1;
    if (whole >= 0 && whole == number) {
      if (direct_[whole] < 0) direct_[whole] = add(whole);
      return direct_[whole];
    }
    uint64_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    const auto [at, is_new] = codes_.try_emplace(number == number ? bits : ~0ull, 0);
    if (is_new) at->second = add(number);
    return at->second;
  }

 private:
  int32_t add(double number) {
    numbers_.push_back(number);
    return static_cast<int32_t>(numbers_.size() - 1);
  }

  std::vector<double> numbers_;
  std::vector<int32_t> direct_;  // codes of small whole numbers, which days are
  std::unordered_map<uint64_t, int32_t> codes_;
};

}  // namespace astgnn::table
