---@meta
-- Written by `perigee stubs` from the declarations.

---Named parts of a pipeline. What trainer.fit does inside is stored by content: an equal stage is not trained again.
---@class stagelib
---@overload fun(name: string, body?: any, function_after_inputs?: function?): any ...
stage = {}

return stage
