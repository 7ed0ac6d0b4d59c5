---@meta
-- Written by `perigee stubs` from the declarations.

---The values of the declared parameters, by name.
---@class Params
local Params = {}

---All values, as a table.
---@return any # table
function Params:all() end

---The parameters of a pipeline: declared once, with defaults; --set name=value overrides them.
---@class paramslib
---@overload fun(declarations: table): Params
params = {}

return params
