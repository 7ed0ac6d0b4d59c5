---@meta
-- Written by `perigee stubs` from the declarations.

---Tables of results: printed, and kept in results.json.
---@class reportlib
report = {}

---Prints a table with one row for each result.
---@param rows table results of trainer.fit, or tables; with columns = { "stage", "accuracy", ... }, by default what the rows have, and title = "..."
function report.table(rows) end

---A number as a table shows it: "0.7950", "5e-05", "1,234.5".
---@param value number any number
---@return string # text
function report.number(value) end

return report
