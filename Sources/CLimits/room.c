#define _GNU_SOURCE  // sched_getaffinity
#include "CLimits.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RESERVE = 48 << 20 };

size_t cl_reserve(void) { return RESERVE; }

static size_t soft_limit(int resource) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return CL_UNLIMITED;
  return (size_t)limit.rlim_cur;
}

// What /proc/self/statm says, in bytes: all mappings, and the private writable ones with the stack.
static bool read_usage(size_t *all, size_t *data) {
#ifdef __linux__
  char text[256];
  int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  if (count <= 0) return false;
  text[count] = 0;
  size_t fields[6] = {0};
  char *next = text;
  for (int i = 0; i < 6; i++) fields[i] = strtoull(next, &next, 10);
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  *all = fields[0] * page, *data = fields[5] * page;
  return true;
#else
  (void)all, (void)data;
  return false;
#endif
}

static size_t room_below(size_t limit, size_t used) { return limit == CL_UNLIMITED ? CL_UNLIMITED : limit > used ? limit - used : 0; }

// Limits may change while the process runs (prlimit), so they are read anew; this takes about a microsecond.
static size_t nearest_limit(size_t *room, const char **option) {
  size_t space = soft_limit(RLIMIT_AS), data = soft_limit(RLIMIT_DATA), all, written;
  *room = CL_UNLIMITED, *option = "";
  if (space == CL_UNLIMITED && data == CL_UNLIMITED) return 0;
  if (!read_usage(&all, &written)) return 0;
  size_t in_space = room_below(space, all), in_data = room_below(data, written);
  *room = in_space < in_data ? in_space : in_data;
  *option = in_space <= in_data ? "ulimit -v" : "ulimit -d";
  return in_space <= in_data ? space : data;
}

size_t cl_room(void) {
  const char *option;
  size_t room;
  nearest_limit(&room, &option);
  return room;
}

size_t cl_room_limit(const char **option) {
  size_t room;
  return nearest_limit(&room, option);
}

bool cl_has_room(size_t bytes) {
  size_t room = cl_room();
  return room == CL_UNLIMITED || (room >= RESERVE && bytes <= room - RESERVE);
}

// ---- the machine, and control groups --------------------------------------------------------------------

// The number in a file of one line; CL_UNLIMITED where there is none ("max", or no such file).
static size_t number_in(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file) return CL_UNLIMITED;
  unsigned long long value;
  bool found = fscanf(file, "%llu", &value) == 1;
  fclose(file);
  return found && value < CL_UNLIMITED ? (size_t)value : CL_UNLIMITED;
}

// What one kind of limit is called in a control group, in both versions of them.
typedef struct {
  const char *controller;  // version 1: where its groups are mounted below /sys/fs/cgroup
  size_t (*unified)(const char *folder);
  size_t (*older)(const char *folder);
} Limit;

// The number in the file `name` of a group's folder.
static size_t number_of(const char *folder, const char *name) {
  char path[PATH_MAX];
  return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path ? number_in(path) : CL_UNLIMITED;
}

// Whole cores that `quota` microseconds of computing in every `period` are worth, rounded up.
static size_t whole_cores(size_t quota, size_t period) {
  if (quota == 0 || quota >= CL_UNLIMITED || period == 0 || period >= CL_UNLIMITED) return CL_UNLIMITED;
  return (quota + period - 1) / period;
}

static size_t unified_memory(const char *folder) { return number_of(folder, "memory.max"); }
static size_t older_memory(const char *folder) { return number_of(folder, "memory.limit_in_bytes"); }

// "150000 100000": so much in every such period; "max 100000": no quota.
static size_t unified_cores(const char *folder) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path) return CL_UNLIMITED;
  FILE *file = fopen(path, "re");
  if (!file) return CL_UNLIMITED;
  size_t quota, period;
  bool found = fscanf(file, "%zu %zu", &quota, &period) == 2;
  fclose(file);
  return found ? whole_cores(quota, period) : CL_UNLIMITED;
}

// A quota of -1, which reads as a number past every limit, is none.
static size_t older_cores(const char *folder) {
  return whole_cores(number_of(folder, "cpu.cfs_quota_us"), number_of(folder, "cpu.cfs_period_us"));
}

static const Limit MEMORY = {"memory", unified_memory, older_memory}, CORES = {"cpu", unified_cores, older_cores};

// The least limit of a group and those above it. `root` is where groups are mounted.
static size_t group_limit(const char *root, char *group, size_t (*limit_in)(const char *folder)) {
  size_t least = CL_UNLIMITED;
  for (;;) {
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", root, group) < (int)sizeof folder) {
      size_t limit = limit_in(folder);
      if (limit < least) least = limit;
    }
    char *last = strrchr(group, '/');
    if (!last) return least;
    *last = 0;
  }
}

// Whether `name` is one of the controllers "cpu,cpuacct".
static bool has_controller(const char *controllers, const char *name) {
  size_t length = strlen(name);
  for (const char *part = controllers; part; part = strchr(part, ',')) {
    if (*part == ',') part++;
    if (strncmp(part, name, length) == 0 && (part[length] == ',' || part[length] == 0)) return true;
  }
  return false;
}

// The least limit of the process's control groups, which `groups` lists ("/proc/self/cgroup") and `root` holds.
static size_t control_group_limit(const char *groups, const char *root, Limit kind) {
  size_t least = CL_UNLIMITED;
  FILE *file = fopen(groups, "re");
  if (!file) return least;
  char line[PATH_MAX], mounted[PATH_MAX];
  // "0::/group" (version 2), or "4:memory:/group" (version 1).
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) continue;
    controllers++, *group++ = 0;
    size_t limit = CL_UNLIMITED;
    if (*controllers == 0) limit = group_limit(root, group, kind.unified);
    else if (has_controller(controllers, kind.controller) &&
             snprintf(mounted, sizeof mounted, "%s/%s", root, kind.controller) < (int)sizeof mounted)
      limit = group_limit(mounted, group, kind.older);
    if (limit < least) least = limit;
  }
  fclose(file);
  return least;
}

static size_t machine;

static void read_machine(void) {
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  machine = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : CL_UNLIMITED;
  size_t group = control_group_limit("/proc/self/cgroup", "/sys/fs/cgroup", MEMORY);
  if (group < machine) machine = group;
}

size_t cl_machine_memory(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, read_machine);
  return machine;
}

size_t cl_quota_cores(const char *groups, const char *root) { return control_group_limit(groups, root, CORES); }

int cl_cores(void) {
  size_t cores;
#ifdef __linux__
  cpu_set_t set;
  cores = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
#else
  cores = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
#endif
  size_t quota = cl_quota_cores("/proc/self/cgroup", "/sys/fs/cgroup");
  return (int)(quota < cores ? quota : cores);
}
