#include "train/ranks/address.h"

#include <arpa/inet.h>
#include <c10/util/Exception.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace astgnn::ranks {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses look_up(const char* host, int port, int type, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = type;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) found = nullptr;
  return {found, &freeaddrinfo};
}

// The socket, or -1 with errno.
int listen_at(const addrinfo& address) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, address.ai_addr, address.ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
  const int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

}  // namespace

int listen_on(const std::string& host, int port) {
  int reason = EADDRNOTAVAIL;
  const auto named = look_up(host.c_str(), port, SOCK_STREAM, 0);
  const auto any = look_up(nullptr, port, SOCK_STREAM, AI_PASSIVE);
  for (const auto* list : {named.get(), any.get()}) {
    for (const auto* address = list; address != nullptr; address = address->ai_next) {
      const int fd = listen_at(*address);
      if (fd >= 0) return fd;
      reason = errno;
      if (reason == EADDRINUSE || reason == EACCES) break;
    }
    if (reason == EADDRINUSE || reason == EACCES) break;
  }
  TORCH_CHECK_VALUE(false, "Port ", port, " of ", host, " cannot be listened on (",
                    std::strerror(reason), "): set MASTER_PORT to a free one.");
}

std::string local_address_towards(const std::string& host, int port) {
  const auto found = look_up(host.c_str(), port, SOCK_DGRAM, 0);
  for (const auto* address = found.get(); address != nullptr; address = address->ai_next) {
    const int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    char text[NI_MAXHOST] = "";
    const bool known =
        connect(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) == 0;
    close(fd);
    if (known) return text;
  }
  return "";
}

}  // namespace astgnn::ranks
