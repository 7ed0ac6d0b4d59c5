---@meta
-- Written by `perigee stubs` from the declarations.

---Messages beside the results.
---@class loglib
log = {}

---Writes a line to standard error.
---@param text string the line
function log.info(text) end

---Writes a warning to standard error.
---@param text string the warning
function log.warn(text) end

---Adds a row to metrics.jsonl.
---@param row table names and numbers
function log.metrics(row) end

return log
