// A network in user space, for kernels that cannot delay packets: takes packets from the TUN device of each network namespace, and hands
// each to that of its destination, at a rate and after a delay.
//
//   slow NAMES BITS_PER_SECOND DELAY_SECONDS MTU NAMESPACE...
//
// Namespace i (from 0) has the address 10.77.(i / 250).(i % 250 + 1), on a device called NAMES. A packet leaves when the sender's line is
// free, is on the way for the delay, and arrives when the receiver's line is free. Nothing is lost. Writes "ready" when all are there, and
// ends with its standard input.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct packet {
  double due;
  uint64_t number;
  int to, size, is_at_line;
  struct packet *next;
  unsigned char bytes[];
};

static struct packet **heap, *unused;
static int in_heap, room;

static int is_before(const struct packet *a, const struct packet *b) { return a->due != b->due ? a->due < b->due : a->number < b->number; }

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static void push(struct packet *packet) {
  if (in_heap == room) {
    room = room * 2 + 1024;
    if ((heap = realloc(heap, room * sizeof *heap)) == NULL) fail("memory");
  }
  int i = in_heap++;
  for (; i > 0 && is_before(packet, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
  heap[i] = packet;
}

static struct packet *pop(void) {
  struct packet *first = heap[0], *last = heap[--in_heap];
  int i = 0;
  for (int child; (child = 2 * i + 1) < in_heap; i = child) {
    if (child + 1 < in_heap && is_before(heap[child + 1], heap[child])) child += 1;
    if (!is_before(heap[child], last)) break;
    heap[i] = heap[child];
  }
  heap[i] = last;
  return first;
}

static int open_device(const char *name, const char *space, int mtu, int index) {
  char path[300];
  snprintf(path, sizeof path, "/var/run/netns/%s", space);
  int entry = open(path, O_RDONLY);
  if (entry < 0 || setns(entry, CLONE_NEWNET) != 0) fail(path);
  close(entry);
  int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK), inquiry = socket(AF_INET, SOCK_DGRAM, 0);
  if (device < 0 || inquiry < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(device, TUNSETIFF, &request) != 0) fail("TUNSETIFF");
  request.ifr_mtu = mtu;
  if (ioctl(inquiry, SIOCSIFMTU, &request) != 0) fail("SIOCSIFMTU");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(10u << 24 | 77u << 16 | (index / 250) << 8 | (index % 250 + 1))};
  memcpy(&request.ifr_addr, &address, sizeof address);
  if (ioctl(inquiry, SIOCSIFADDR, &request) != 0) fail("SIOCSIFADDR");
  address.sin_addr.s_addr = htonl(0xffff0000);
  memcpy(&request.ifr_netmask, &address, sizeof address);
  if (ioctl(inquiry, SIOCSIFNETMASK, &request) != 0) fail("SIOCSIFNETMASK");
  // What waits for the line waits here, and not where it would be dropped.
  request.ifr_qlen = 100000;
  ioctl(inquiry, SIOCSIFTXQLEN, &request);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(inquiry, SIOCSIFFLAGS, &request) != 0) fail("SIOCSIFFLAGS");
  close(inquiry);
  return device;
}

int main(int argc, char **argv) {
  if (argc < 6) return 1;
  double rate = atof(argv[2]) / 8, delay = atof(argv[3]);
  int mtu = atoi(argv[4]), count = argc - 5;
  struct pollfd *devices = calloc(count + 1, sizeof *devices);
  double *leaves = calloc(count, sizeof *leaves), *arrives = calloc(count, sizeof *arrives);
  for (int i = 0; i < count; i += 1) devices[i] = (struct pollfd){open_device(argv[1], argv[5 + i], mtu, i), POLLIN, 0};
  devices[count] = (struct pollfd){0, POLLIN, 0};
  // Late packets would be measured as a slower network; without the right to it, they may be.
  sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 10});
  puts("ready");
  fflush(stdout);
  for (uint64_t number = 0;;) {
    struct timespec patience = {1, 0};
    if (in_heap > 0) {
      double left = heap[0]->due - now();
      if (left < 0) left = 0;
      if (left < 1) patience = (struct timespec){0, (long)(left * 1e9)};
    }
    if (ppoll(devices, count + 1, &patience, NULL) < 0) fail("poll");
    if (devices[count].revents) {
      char byte;
      if (read(0, &byte, 1) <= 0) return 0;
    }
    for (int i = 0; i < count; i += 1) {
      // A few packets of each in turn.
      for (int turn = 0; (devices[i].revents & POLLIN) && turn < 8; turn += 1) {
        struct packet *packet = unused;
        if (packet != NULL) unused = packet->next;
        else if ((packet = malloc(sizeof *packet + mtu)) == NULL) fail("memory");
        packet->size = (int)read(devices[i].fd, packet->bytes, mtu);
        unsigned char *to = packet->bytes + 16;
        packet->to = to[2] * 250 + to[3] - 1;
        if (packet->size < 20 || packet->bytes[0] >> 4 != 4 || to[0] != 10 || to[1] != 77 || packet->to < 0 || packet->to >= count) {
          int is_empty = packet->size < 0;
          packet->next = unused;
          unused = packet;
          if (is_empty) break;
          continue;
        }
        double time = packet->size / rate, clock = now();
        leaves[i] = (leaves[i] > clock ? leaves[i] : clock) + time;
        // When its first bit comes to the receiver's line.
        packet->due = leaves[i] + delay - time;
        packet->is_at_line = 0;
        packet->number = number++;
        push(packet);
      }
    }
    for (double clock = now(); in_heap > 0 && heap[0]->due <= clock;) {
      struct packet *packet = pop();
      if (!packet->is_at_line) {
        double *free = &arrives[packet->to];
        packet->due = *free = (*free > packet->due ? *free : packet->due) + packet->size / rate;
        packet->is_at_line = 1;
        push(packet);
        continue;
      }
      if (write(devices[packet->to].fd, packet->bytes, packet->size) < 0) perror("write");
      packet->next = unused;
      unused = packet;
    }
  }
}
