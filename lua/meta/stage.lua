---@meta
-- Written by `perigee stubs` from the declarations.

---Named parts of a pipeline. What trainer.fit does inside is stored by content: an equal stage is not trained again.
---@class stagelib
---@overload fun(name: string, body?: any, function_after_inputs?: function?): any ...
stage = {}

---Runs a stage as stage(...) does, but does not wait where another process works at it: the function is then left, and the stage may come again.
---@param name string unique in the pipeline
---@param body? any the function to run; or a table of further inputs that its results depend on
---@param function_after_inputs? function the function, if inputs were given
---@return any ... # true, and what the function returns; or false, and a table: key of the stage, and holder, the other process in words
function stage.attempt(name, body, function_after_inputs) end

---The key of a stage, for stage.look: of the first training in it that has pause_after, or whose result is not stored. The function is left there, and nothing is trained.
---@param name string unique in the pipeline
---@param body? any the function to run; or a table of further inputs that its results depend on
---@param function_after_inputs? function the function, if inputs were given
---@return any ... # the key, and whether that training has pause_after; nil where the function came to its end, and in a check
function stage.key(name, body, function_after_inputs) end

---What is stored under a stage's key, also while another process works at it.
---@param key string of stage.key or stage.attempt
---@return any # a table: finished; holder, the process that works at it, in words; evaluations, a list of the metrics of each so far
function stage.look(key) end

---Waits until no other process works at one of some stages.
---@param keys string[] of stage.attempt
---@param seconds? number how long at most (from 0 to 1000000000; default 1000000000)
---@return boolean # whether one can be attempted again
function stage.wait(keys, seconds) end

---Which of several processes this is that run the same script over one cache: --shard.
---@return any ... # its number, from 1, and how many there are; nothing without --shard
function stage.shard() end

return stage
