---@meta
-- Written by `perigee stubs` from the declarations.

---Tables of results: printed, and kept in results.json.
---@class reportlib
report = {}

---Prints a table with one row for each result.
---@param rows table results of trainer.fit, or tables; with columns = { "stage", "accuracy", ... } and title = "..."
function report.table(rows) end

return report
