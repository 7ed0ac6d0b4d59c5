#include "CMPI.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

int cm_socket(uint16_t *port) {
  int number = socket(AF_INET, SOCK_DGRAM, 0);
  if (number < 0) return -1;
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  socklen_t size = sizeof place;
  if (fcntl(number, F_SETFD, FD_CLOEXEC) != 0 || fcntl(number, F_SETFL, O_NONBLOCK) != 0 ||
      bind(number, (struct sockaddr *)&place, sizeof place) != 0 || getsockname(number, (struct sockaddr *)&place, &size) != 0) {
    close(number);
    return -1;
  }
  *port = ntohs(place.sin_port);
  return number;
}

size_t cm_addresses(uint32_t *addresses, size_t most) {
  struct ifaddrs *first = NULL;
  if (getifaddrs(&first) != 0) return 0;
  size_t count = 0;
  for (struct ifaddrs *i = first; i != NULL && count < most; i = i->ifa_next) {
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP)) continue;
    addresses[count++] = ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr;
  }
  freeifaddrs(first);
  return count;
}

void cm_send(int number, uint32_t address, uint16_t port, const void *bytes, size_t size) {
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = address, .sin_port = htons(port)};
  (void)sendto(number, bytes, size, 0, (struct sockaddr *)&place, sizeof place);
}

int cm_receive(int number, int milliseconds, void *bytes, size_t size, uint32_t *address) {
  struct pollfd waiting = {.fd = number, .events = POLLIN};
  if (poll(&waiting, 1, milliseconds) <= 0) return -1;
  struct sockaddr_in place = {0};
  socklen_t length = sizeof place;
  ssize_t count = recvfrom(number, bytes, size, 0, (struct sockaddr *)&place, &length);
  *address = place.sin_addr.s_addr;
  return (int)count;
}

int cm_thread(void) {
#ifdef __linux__
  return (int)syscall(SYS_gettid);
#else
  return 0;
#endif
}
