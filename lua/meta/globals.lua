---@meta
-- Written by `perigee stubs` from the declarations.

---Prints an explanation.
---@param x? any a module, a function or an object, or a name such as "trainer.fit" or "Model:predict"; nothing lists all modules
function help(x) end

---Declares the functions of a Lua file, so that their arguments are checked, and help and the reference know them.
---@param declaration table name, doc, and for each function { name, doc, function, parameters = { ... }, options = { ... }, returns = { type, doc } }; parameters and options are { name, type, doc, default = , min = , max = }, and a name that ends with '?' may be left out
---@return table # the module, which require gives
function library(declaration) end

