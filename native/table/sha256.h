// SHA-256 by the OpenSSL that Node is built with: it uses the processor's instructions for it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace astgnn::table {

// Of one text after the other. For one thread at a time.
class Sha256 {
 public:
  // Throws std::runtime_error where the process has no OpenSSL.
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, size_t bytes);
  // Writes the 32 bytes of what came since the last one.
  void finish(uint8_t* digest);

 private:
  void* context_;
};

}  // namespace astgnn::table
