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
  /// `lua_close` runs: finalizers may not enter Swift any more.
  bool closing;
  /// Protected calls from Swift that have not returned.
  int depth;
  size_t heap_bytes;
  size_t (*live_bytes)(void);
  size_t native_floor, native_limit;
  /// Parts of a warning, until the last one comes.
  char warning[1024];
  size_t warning_count;
} lb_interpreter;

static inline lb_interpreter *interpreter(lua_State *L) {
  return *(lb_interpreter **)lua_getextraspace(L);
}

/// The C function behind every declared function. Upvalue 1: the declaration.
int lb_trampoline(lua_State *L);
/// Raises "interrupted" at the next instructions of all threads that run.
void lb_arm_interrupt(lua_State *L);
/// The message handler of protected calls: keeps the traceback, returns the error object.
int lb_traceback_handler(lua_State *L);

#endif
