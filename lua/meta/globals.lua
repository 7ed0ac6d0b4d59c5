---@meta
-- Written by `perigee stubs` from the declarations.

---closeness options
---@class Tolerance
---@field rtol? number allowed difference as a part of the expected number (as PyTorch: 1.3e-6 for float32, 0.016 for bfloat16, 1e-7 for numbers) (at least 0)
---@field atol? number allowed difference beside it (as PyTorch: 1e-5 for float32 and bfloat16, 1e-7 for numbers) (at least 0)
---@field equal_nan? boolean whether nan is close to nan (default false)

---Prints an explanation.
---@param x? any a module, a function or an object, or a name such as "trainer.fit" or "Model:predict"; nothing lists all modules
function help(x) end

---Declares the functions of a Lua file, so that their arguments are checked, and help and the reference know them.
---@param declaration table name, doc, and for each function { name, doc, function, parameters = { ... }, options = { ... }, returns = { type, doc } }; parameters and options are { name, type, doc, default = , min = , max = }, and a name that ends with '?' may be left out
---@return table # the module, which require gives
function library(declaration) end

---Raises an error unless both are equal: tables if all in them is equal, tensors if type, shape and all elements are, other objects if they are the same.
---@param actual? any what was computed
---@param expected? any what it should be
---@param message? string what the error begins with
function assert_equal(actual, expected, message) end

---Raises an error unless both are equal but for the rounding of numbers: numbers, tensors, or tables with them. As torch.testing.assert_close.
---@param actual? any what was computed
---@param expected? any what it should be
---@param options? Tolerance how far numbers may be apart
function assert_close(actual, expected, options) end

---Calls a function, and raises an error unless that raises one.
---@param body function what should fail
---@param text? string what its message should contain, letter by letter
---@return string # the message
function assert_error(body, text) end

