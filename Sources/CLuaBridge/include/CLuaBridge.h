/// The part of Lua that Swift may use.
///
/// Lua reports errors with `longjmp`, and a jump over a Swift frame leaks and corrupts. So Swift never sees
/// `lua.h`: it sees this allow-list, in which no function ever jumps. Functions of Lua's API that can raise,
/// or that run a script, are called here only from C functions that Lua itself called (the trampoline, the
/// library of the sandbox) or under `lua_pcall`.
///
/// Lua's functions that raise only when memory runs out are safe too: while Swift frames are live, the
/// state's allocator never refuses (see `lb_create`).
#ifndef CLUABRIDGE_H
#define CLUABRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A Lua thread: the main one or a coroutine.
typedef struct lua_State lb_state;

/// Kinds of values, as `lb_kind` tells them. Integers and floats are told apart.
enum {
  LB_NONE = 0, LB_NIL, LB_BOOL, LB_INTEGER, LB_NUMBER, LB_STRING, LB_TABLE, LB_FUNCTION,
  LB_OBJECT, LB_THREAD, LB_OTHER
};

/// What the entry returns instead of a count of results, with an error object on the stack.
enum { LB_FAILED = -1, LB_FAILED_BY_INTERRUPT = -2 };

/// Outcome of a protected call.
enum { LB_OK = 0, LB_ERROR = 1, LB_INTERRUPTED = 2 };

/// What the host gives to a state. Every callback is called on the state's thread and must not raise.
typedef struct {
  /// Passed to `print` and `interrupted`.
  void *context;
  /// Calls the declared function; arguments are the stack. Returns the number of results on the top of the
  /// stack, or `LB_FAILED...` with the error object there.
  int (*entry)(lb_state *L, void *function);
  /// Releases an object that Lua held.
  void (*release)(void *object);
  /// A line of the script's `print`, without the line feed; any bytes.
  void (*print)(void *context, const char *bytes, size_t count);
  /// Whether Ctrl-C was pressed.
  bool (*interrupted)(void *context);
  /// Cap of Lua's own heap in bytes, 0 for none; going over it is an error in the script.
  size_t memory_cap;
} lb_host;

/// A new state without libraries, or NULL if there is no memory.
lb_state *lb_create(lb_host host);
/// Closes the state and releases all objects.
void lb_close(lb_state *L);
/// Opens the libraries; with `allow_io` also `io` and all of `os`. False and a message on the stack on error.
bool lb_open_libraries(lb_state *L, bool allow_io, int64_t seed);
/// Pushes `require`; `resolve(name)` gives text and chunk name, or a value of its own and nil.
void lb_push_require(lb_state *L, void *resolve);

/// Memory of native objects that the collector should know about: a count of live bytes, and the floor below
/// which it never collects for their sake. NULL switches it off.
void lb_set_native_memory(lb_state *L, size_t (*live_bytes)(void), size_t floor_bytes);
/// Whether a call from Swift has not returned.
bool lb_is_running(lb_state *L);
/// Bytes of Lua's own heap.
size_t lb_heap_bytes(lb_state *L);
/// One full collection. Runs no script: scripts cannot have finalizers.
void lb_collect(lb_state *L);
/// Whether the script's values may take that many more bytes; collects first if they may not. The allocator keeps to the
/// cap while a script runs, but cannot refuse Swift, which asks here before it pushes what may be large.
bool lb_has_room(lb_state *L, size_t bytes);

/// Compiles text (never binary); pushes a function, or a message and returns false.
bool lb_load(lb_state *L, const char *bytes, size_t count, const char *chunk_name);
/// Calls function and arguments on the stack; pushes all results and returns `LB_OK`, or one error object.
int lb_pcall(lb_state *L, int arguments);
/// Lets the local variables of a chunk, the function at this index, become globals when the next `lb_pcall` returns from it.
void lb_keep_locals(lb_state *L, int index);
/// Pushes the traceback of the last failed `lb_pcall`, a string or nil.
void lb_push_traceback(lb_state *L);
/// Pushes `tostring(value)`, or a description of its kind if `__tostring` fails; the outcome of that call.
int lb_push_description(lb_state *L, int index);
/// "file:line" of the nearest Lua function that called, from `level` on; empty if there is none.
void lb_where(lb_state *L, int level, char *text, size_t size);

/// "file:line" where a function of a script begins; "?" for a function of the host.
void lb_function_place(lb_state *L, int index, char *text, size_t size);
/// Takes the parts of a function's code. Neither may raise.
typedef struct {
  void *context;
  /// What the function computes, piece by piece: no names of variables, no lines, no comments.
  void (*write)(void *context, const void *bytes, size_t count);
  /// Each text in the code, among them the names of all globals that it reads by name.
  void (*constant)(void *context, const void *bytes, size_t count);
} lb_code_reader;

/// What `lb_function_code` found: a function of the host or the library; code; code that may read globals whose names do not
/// stand in it; code that cannot be read.
enum { LB_HOST_CODE, LB_CODE, LB_CODE_WITH_GLOBALS, LB_UNKNOWN_CODE };

/// Passes the code of a function, and of the functions in it, to a reader.
int lb_function_code(lb_state *L, int index, lb_code_reader to);
/// Pushes the `number`th captured value (from 1) of a function and returns its name; NULL, and nothing pushed, if there is none.
const char *lb_push_upvalue(lb_state *L, int function, int number);
/// Where a function of a script keeps that value: the same place as other functions that see its changes. NULL for the host's.
const void *lb_upvalue_place(lb_state *L, int function, int number);
/// Pushes a value's metatable, the protected ones as well; false, and nothing pushed, if it has none.
bool lb_push_metatable(lb_state *L, int index);
/// The state of `math.random`, for which `random` is a reference, and its bytes; NULL if it is another function.
void *lb_random_state(lb_state *L, int random, size_t *count);

int lb_top(lb_state *L);
/// Pops down to `top`, or fills with nil.
void lb_set_top(lb_state *L, int top);
/// Room for `count` more values; false if the stack cannot grow.
bool lb_reserve(lb_state *L, int count);
int lb_kind(lb_state *L, int index);

bool lb_bool(lb_state *L, int index);
int64_t lb_integer(lb_state *L, int index);
double lb_number(lb_state *L, int index);
/// The bytes of a value of kind `LB_STRING`, valid while it is on the stack.
const char *lb_string(lb_state *L, int index, size_t *count);
/// The object in a userdata of the bridge, or NULL if it is none or was released. Not retained.
void *lb_object(lb_state *L, int index);
/// The class number of a userdata of the bridge, also a released one; -1 if it is none.
int lb_object_class(lb_state *L, int index);
/// The declared function behind a Lua function, or NULL.
void *lb_declared_function(lb_state *L, int index);
/// Identity of a table or function, for maps and cycle checks.
const void *lb_identity(lb_state *L, int index);

void lb_push_nil(lb_state *L);
void lb_push_bool(lb_state *L, bool value);
void lb_push_integer(lb_state *L, int64_t value);
void lb_push_number(lb_state *L, double value);
void lb_push_string(lb_state *L, const char *bytes, size_t count);
void lb_push_copy(lb_state *L, int index);
void lb_push_globals(lb_state *L);
/// Pops a value and puts it in the place of another.
void lb_replace(lb_state *L, int index);
/// Pushes a userdata of this class that takes over one retain of `object`.
void lb_push_object(lb_state *L, int class_number, void *object);
/// Pushes a Lua function that calls `function` through the host's entry. Not retained.
void lb_push_function(lb_state *L, void *function);

void lb_new_table(lb_state *L, int list_count, int field_count);
/// Number of elements of a list, or bytes of a string; no metamethods.
int64_t lb_raw_length(lb_state *L, int index);
/// Pushes `table[i]`, no metamethods.
void lb_raw_get_index(lb_state *L, int table, int64_t i);
/// Pops a key, pushes `table[key]`, no metamethods.
void lb_raw_get(lb_state *L, int table);
/// `table[i] = pop()`, no metamethods.
void lb_raw_set_index(lb_state *L, int table, int64_t i);
/// `table[name] = pop()`, no metamethods.
void lb_raw_set_field(lb_state *L, int table, const char *bytes, size_t count);
/// Pops a key, pushes the next key and value; false at the end. Change no table meanwhile.
bool lb_next(lb_state *L, int table);

/// A new class of userdata with these tables (stack: methods, getters, setters, metamethods; popped).
/// `missing(self, key)` and `unset(self, key, value)` report what is not there.
void lb_define_class(lb_state *L, int class_number, const char *name, void *missing, void *unset);
/// Gives the table on the top a metatable: unknown fields call `missing(table, key)`, writes `unset(...)`,
/// and, if `call` is not NULL, calls of the table `call(table, ...)`.
void lb_seal_module(lb_state *L, const char *name, void *missing, void *unset, void *call);

/// Pops a value and returns a reference to it.
int lb_reference(lb_state *L);
void lb_push_referenced(lb_state *L, int reference);
void lb_release_reference(lb_state *L, int reference);

#endif
