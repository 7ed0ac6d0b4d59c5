---@meta
-- Written by `perigee stubs` from the declarations.

---Tests of functions and methods, for 'perigee test'. Each runs on its own: the file is run anew for it.
---@class testlib
---@overload fun(name: string, body: function)
test = {}

return test
