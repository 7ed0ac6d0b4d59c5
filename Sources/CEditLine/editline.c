#include "CEditLine.h"

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

// What is used of histedit.h. Loading the library by name spares every other command its three libraries, and a machine without it
// still has the prompt.
typedef struct editline EditLine;
typedef struct history History;
typedef struct { const char *buffer, *cursor, *lastchar; } LineInfo;
typedef struct { int number; const char *text; } HistEvent;
enum { EL_PROMPT = 0, EL_EDITOR = 2, EL_SIGNAL = 3, EL_BIND = 4, EL_ADDFN = 9, EL_HIST = 10, EL_GETCFN = 13, EL_CLIENTDATA = 14, EL_PREP_TERM = 16 };
enum { H_SETSIZE = 1, H_ENTER = 10, H_LOAD = 17, H_SAVE = 18, H_SETUNIQUE = 20 };
enum { CC_REFRESH = 4, CC_ERROR = 6, CC_REDISPLAY = 8 };
enum { REMEMBERED_LINES = 2000 };

static struct {
  EditLine *(*el_init)(const char *, FILE *, FILE *, FILE *);
  void (*el_end)(EditLine *);
  int (*el_set)(EditLine *, int, ...);
  int (*el_get)(EditLine *, int, ...);
  int (*el_source)(EditLine *, const char *);
  void (*el_resize)(EditLine *);
  const char *(*el_gets)(EditLine *, int *);
  const LineInfo *(*el_line)(EditLine *);
  int (*el_insertstr)(EditLine *, const char *);
  History *(*history_init)(void);
  void (*history_end)(History *);
  int (*history)(History *, HistEvent *, int, ...);
} edit;

static bool load(void) {
  static const char *const names[] = {"libedit.so.2", "libedit.so.0", "libedit.3.dylib"};
  void *library = NULL;
  for (size_t i = 0; library == NULL && i < sizeof names / sizeof *names; i += 1) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return false;
#define FOUND(name) ((*(void **)&edit.name = dlsym(library, #name)) != NULL)
  return FOUND(el_init) && FOUND(el_end) && FOUND(el_set) && FOUND(el_get) && FOUND(el_source) && FOUND(el_resize) && FOUND(el_gets) &&
         FOUND(el_line) && FOUND(el_insertstr) && FOUND(history_init) && FOUND(history_end) && FOUND(history);
}

struct ce_editor {
  EditLine *line;
  History *history;
  char *file, *text;
  const char *prompt;
  ce_owner owner;
  bool interrupted;
};

static ce_editor *editor_of(EditLine *line) {
  ce_editor *editor = NULL;
  edit.el_get(line, EL_CLIENTDATA, &editor);
  return editor;
}

static const char *prompt_of(EditLine *line) { return editor_of(line)->prompt; }

/// A letter of standard input: 1, 0 at its end, -1 if a signal ends the line. Handlers of signals let `read` go on, but not `poll`.
static int read_letter(EditLine *line, wchar_t *letter) {
  ce_editor *editor = editor_of(line);
  mbstate_t state = {0};
  for (;;) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    if (poll(&input, 1, -1) < 0) {
      if (errno != EINTR) return -1;
      if (!editor->owner.interrupted(editor->owner.context)) continue;
      editor->interrupted = true;
      return -1;
    }
    char byte;
    ssize_t count = read(0, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return (int)count;
    switch (mbrtowc(letter, &byte, 1, &state)) {
      case (size_t)-2: continue;  // the letter has more bytes
      case (size_t)-1: state = (mbstate_t){0}; continue;
      default: return 1;
    }
  }
}

static unsigned char complete(EditLine *line, int key) {
  (void)key;
  ce_editor *editor = editor_of(line);
  const LineInfo *info = edit.el_line(line);
  char *before = strndup(info->buffer, (size_t)(info->cursor - info->buffer)), *shown = NULL;
  char *added = editor->owner.complete(editor->owner.context, before, &shown);
  unsigned char result = CC_ERROR;
  if (shown != NULL) {
    fprintf(stdout, "\n%s\n", shown);
    result = CC_REDISPLAY;
  }
  if (added != NULL && *added != 0) {
    edit.el_insertstr(line, added);
    if (shown == NULL) result = CC_REFRESH;
  }
  free(before);
  free(added);
  free(shown);
  return result;
}

ce_editor *ce_open(const char *history, ce_owner owner) {
  if (!load()) return NULL;
  // Letters beyond ASCII, which the C locale does not know.
  const char *locale = setlocale(LC_CTYPE, "");
  if (locale == NULL || strcmp(locale, "C") == 0 || strcmp(locale, "POSIX") == 0) setlocale(LC_CTYPE, "C.UTF-8");
  ce_editor *editor = calloc(1, sizeof *editor);
  editor->owner = owner;
  editor->prompt = "";
  editor->file = history == NULL ? NULL : strdup(history);
  editor->line = edit.el_init("perigee", stdin, stdout, stderr);
  editor->history = edit.history_init();
  if (editor->line == NULL || editor->history == NULL) {
    ce_close(editor);
    return NULL;
  }
  HistEvent event;
  edit.history(editor->history, &event, H_SETSIZE, REMEMBERED_LINES);
  edit.history(editor->history, &event, H_SETUNIQUE, 1);
  if (editor->file != NULL) edit.history(editor->history, &event, H_LOAD, editor->file);
  edit.el_set(editor->line, EL_CLIENTDATA, editor);
  edit.el_set(editor->line, EL_EDITOR, "emacs");
  edit.el_set(editor->line, EL_SIGNAL, 0);
  edit.el_set(editor->line, EL_PROMPT, prompt_of);
  edit.el_set(editor->line, EL_HIST, edit.history, editor->history);
  edit.el_set(editor->line, EL_GETCFN, read_letter);
  edit.el_set(editor->line, EL_ADDFN, "perigee-complete", "completes a name", complete);
  edit.el_set(editor->line, EL_BIND, "^I", "perigee-complete", NULL);
  edit.el_set(editor->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
  edit.el_source(editor->line, NULL);
  return editor;
}

int ce_read(ce_editor *editor, const char *prompt, const char **line) {
  editor->prompt = prompt;
  editor->interrupted = false;
  edit.el_resize(editor->line);
  // Else the prompt is there before the terminal is libedit's, and a Ctrl-D in between becomes a letter.
  edit.el_set(editor->line, EL_PREP_TERM, 1);
  int count = 0;
  const char *text = edit.el_gets(editor->line, &count);
  if (editor->interrupted) return CE_INTERRUPTED;
  if (text == NULL || count <= 0) return CE_END;
  free(editor->text);
  editor->text = strdup(text);
  size_t size = strlen(editor->text);
  if (size > 0 && editor->text[size - 1] == '\n') editor->text[size - 1] = 0;
  *line = editor->text;
  return CE_LINE;
}

bool ce_remember(ce_editor *editor, const char *line) {
  HistEvent event;
  edit.history(editor->history, &event, H_ENTER, line);
  return editor->file == NULL || edit.history(editor->history, &event, H_SAVE, editor->file) >= 0;
}

void ce_close(ce_editor *editor) {
  if (editor->line != NULL) edit.el_end(editor->line);
  if (editor->history != NULL) edit.history_end(editor->history);
  free(editor->file);
  free(editor->text);
  free(editor);
}
