// Sockets of this machine: where the store listens, and from where others are reached.
#pragma once

#include <string>

namespace astgnn::ranks {

// A listening socket on `port` of the address that `host` names, where that is one of this
// machine's, else on all of its addresses. Throws c10::ValueError naming what is in the way.
int listen_on(const std::string& host, int port);
// The address of this machine from which packets to `host` leave; "" where none can be found.
std::string local_address_towards(const std::string& host, int port);

}  // namespace astgnn::ranks
