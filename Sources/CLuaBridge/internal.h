#ifndef LB_INTERNAL_H
#define LB_INTERNAL_H

#include "CLuaBridge.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/// What one interpreter keeps beside Lua's own state; all its coroutines point to it.
typedef struct {
  lb_host host;
  lua_State *main;
  /// Swift frames are live above the nearest protected call: the allocator must not fail.
  bool in_swift;
  /// An interruption is on its way up; every Lua instruction raises until the outermost call is left.
  bool interrupting;
  /// Protected calls from Swift that have not returned.
  int depth;
  size_t heap_bytes;
  size_t (*live_bytes)(void);
  size_t native_floor, native_limit;
  /// Steps of loops in C since the last look at the interrupt flag.
  unsigned steps;
} lb_interpreter;

static inline lb_interpreter *interpreter(lua_State *L) {
  return *(lb_interpreter **)lua_getextraspace(L);
}

/// The C function behind every declared function. Upvalue 1: the declaration.
int lb_trampoline(lua_State *L);
/// Raises "interrupted" at the next instructions of all threads that run.
void lb_arm_interrupt(lua_State *L);
/// Raises "interrupted" if that was asked for. Loops in C run without the hook, and have to look themselves.
void lb_poll(lua_State *L);
/// Counts a step of a loop in C, and looks at the interrupt flag every few thousand steps.
static inline void lb_count_step(lua_State *L) {
  lb_interpreter *it = interpreter(L);
  if (++it->steps < 4096) return;
  it->steps = 0;
  lb_poll(L);
}
/// Pushes text, cut after 100 bytes, for a message.
const char *lb_push_excerpt(lua_State *L, const char *text);

/// What takes the place of functions of Lua's libraries.
extern const luaL_Reg lb_pattern_functions[], lb_list_functions[], lb_call_functions[], lb_coroutine_functions[];

/// The message handler of protected calls: keeps the traceback, returns the error object.
int lb_traceback_handler(lua_State *L);

#endif
