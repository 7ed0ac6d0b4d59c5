---@meta
-- Written by `perigee stubs` from the declarations.

---Prints an explanation.
---@param x? any a module, a function or an object; nothing lists all modules
function help(x) end

