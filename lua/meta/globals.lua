---@meta
-- Written by `perigee stubs` from the declarations.

---Prints an explanation.
---@param x? any a module, a function or an object, or a name such as "trainer.fit" or "Model:predict"; nothing lists all modules
function help(x) end

