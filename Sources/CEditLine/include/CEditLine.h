/// Lines that are typed at a terminal, edited by libedit, which is loaded when the first one is asked for.
#ifndef CEDITLINE_H
#define CEDITLINE_H

#include <stdbool.h>

typedef struct ce_editor ce_editor;

/// What the editor asks its owner. Both run while a line is read.
typedef struct {
  void *context;
  /// Whether the line is to be given up; asked when a signal came.
  bool (*interrupted)(void *context);
  /// What the tab key adds behind `line`, which is what stands before the cursor, and what it shows below, or NULL. Both from `malloc`.
  char *(*complete)(void *context, const char *line, char **shown);
} ce_owner;

/// What `ce_read` came to.
enum { CE_LINE, CE_END, CE_INTERRUPTED };

/// NULL where the system has no libedit. `history` names the file of earlier lines, which need not be there; NULL: there is none.
ce_editor *ce_open(const char *history, ce_owner owner);
/// Reads a line from standard input; without its end it is valid until the next call.
int ce_read(ce_editor *editor, const char *prompt, const char **line);
/// Adds a line to those of earlier, also in the file; false where that cannot be written.
bool ce_remember(ce_editor *editor, const char *line);
void ce_close(ce_editor *editor);

#endif
