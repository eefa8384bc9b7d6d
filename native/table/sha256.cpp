#include "table/sha256.h"

#include <dlfcn.h>

#include <stdexcept>
#include <string>
#include <type_traits>

namespace astgnn::table {

namespace {

// As openssl/evp.h declares them. The node executable, or the library that it is linked to, has
// them; headers would tie this file to one version.
struct Evp {
  Evp() {
    const auto find = [](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(RTLD_DEFAULT, name));
      if (function == nullptr)
        throw std::runtime_error(
            std::string("This Node.js does not share its OpenSSL with addons: it has no ") + name);
    };
    find(new_context, "EVP_MD_CTX_new");
    find(free_context, "EVP_MD_CTX_free");
    find(sha256, "EVP_sha256");
    find(init, "EVP_DigestInit_ex");
    find(update, "EVP_DigestUpdate");
    find(finish, "EVP_DigestFinal_ex");
  }

  void* (*new_context)();
  void (*free_context)(void*);
  const void* (*sha256)();
  int (*init)(void*, const void*, void*);
  int (*update)(void*, const void*, size_t);
  int (*finish)(void*, unsigned char*, unsigned int*);
};

const Evp& evp() {
  static const Evp found;
  return found;
}

void require(int succeeded) {
  if (succeeded != 1) throw std::runtime_error("OpenSSL cannot compute SHA-256");
}

}  // namespace

Sha256::Sha256() : context_(evp().new_context()) {
  require(context_ != nullptr && evp().init(context_, evp().sha256(), nullptr));
}

Sha256::~Sha256() { evp().free_context(context_); }

void Sha256::update(const void* data, size_t bytes) {
  require(evp().update(context_, data, bytes));
}

void Sha256::finish(uint8_t* digest) {
  require(evp().finish(context_, digest, nullptr));
  require(evp().init(context_, nullptr, nullptr));
}

}  // namespace astgnn::table
