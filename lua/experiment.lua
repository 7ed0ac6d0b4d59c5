-- What the papers' experiments share: parameters, the base model, tasks, and a training with a recipe's settings.
local experiment = {}

local folders = {
  cola = "CoLA", sst2 = "SST-2", mrpc = "MRPC", stsb = "STS-B", qqp = "QQP", mnli = "MNLI", qnli = "QNLI", rte = "RTE", wnli = "WNLI",
}

--- The union of tables; later ones win.
function experiment.merged(...)
  local result = {}
  for _, part in ipairs { ... } do
    for key, value in pairs(part) do result[key] = value end
  end
  return result
end

--- Declares a pipeline's own parameters and those of every experiment.
---@param own table as for params
function experiment.params(own)
  return params(experiment.merged({
    model = { "builtin:tiny", doc = "model folder, hub name, or the built-in default" },
    data = { "builtin", doc = "folder with GLUE's task folders (RTE, CoLA, ...), or the built-in tasks (rte, mnli)" },
    tasks = { { "rte" }, doc = "GLUE tasks, such as cola,mrpc,rte,stsb" },
    seeds = { { 42 }, doc = "every training runs once for each" },
    steps = { 0, min = 0, doc = "updates of each training; 0: as many as the epochs have" },
    epochs = { 0, min = 0, doc = "of each training; 0: the paper's, or 4 on built-in data" },
    learning_rate = { 0.0, min = 0, doc = "0: the paper's, or 5e-3 on built-in data" },
    batch = { 0, min = 0, doc = "examples in a batch; 0: the paper's, or 32 on built-in data" },
    pretrain_steps = { 1600, min = 1, doc = "updates of masked language modelling; the built-in model only" },
    train_limit = { 0, min = 0, doc = "training rows to use; 0: all, or 4000 on built-in data" },
    max_length = { 0, min = 0, doc = "tokens of an example; 0: the paper's, or 64 on built-in data" },
    dev_limit = { 0, min = 0, doc = "evaluation rows to use; 0: all" },
  }, own))
end

local function positive(number) return number > 0 and number or nil end

--- Whether the data are the built-in ones, for which the papers' settings are not made.
function experiment.is_builtin(p) return p.data == "builtin" end

--- A GLUE task by its name.
function experiment.task(p, name)
  local is_builtin = experiment.is_builtin(p)
  if not is_builtin and not folders[name] then error(("no GLUE task '%s'"):format(name), 2) end
  return tasks.glue(name, is_builtin and "builtin:" .. name or p.data .. "/" .. folders[name], {
    max_train_samples = positive(p.train_limit) or is_builtin and 4000 or nil, max_eval_samples = positive(p.dev_limit),
  })
end

--- The base model. The built-in one starts from random weights: it learns its language first.
function experiment.base(p)
  local base = models.load(p.model)
  if p.model ~= "builtin:tiny" then return base end
  return stage("pretrain", function()
    return trainer.fit {
      model = base:masked_lm(), task = tasks.masked_lm { train_file = "builtin:corpus" }, learning_rate = 3e-3,
      max_steps = p.pretrain_steps, warmup_ratio = 0.06, per_device_train_batch_size = 64, mlm_probability = 0.25, eval_strategy = "no",
    }
  end).model
end

--- Training arguments for a task: the recipe's, or the built-in tasks' own, with what the parameters change.
function experiment.arguments(p, recipe, name)
  local builtin = recipe.builtin or { learning_rate = 5e-3, num_train_epochs = 4, per_device_train_batch_size = 32, max_length = 64, warmup_ratio = 0.06, load_best_model_at_end = true }
  local of_paper = recipe.tasks[name] or experiment.is_builtin(p) or error(("the recipe has no task '%s'"):format(name))
  local arguments = experiment.is_builtin(p) and experiment.merged(builtin) or experiment.merged(recipe.common, of_paper)
  arguments.adapter = nil
  return experiment.merged(arguments, {
    learning_rate = positive(p.learning_rate), num_train_epochs = positive(p.epochs), per_device_train_batch_size = positive(p.batch),
    max_steps = positive(p.steps), max_length = positive(p.max_length),
  })
end

--- Updates of a training with these arguments.
function experiment.total_steps(arguments, task)
  if arguments.max_steps then return arguments.max_steps end
  return math.ceil(task.train_size / arguments.per_device_train_batch_size) * arguments.num_train_epochs
end

--- A method's options for a task: the recipe's, those of its task on real data, and the caller's.
function experiment.adapter(p, recipe, name, options)
  local task = not experiment.is_builtin(p) and recipe.tasks[name] or {}
  return experiment.merged(recipe.adapter, task.adapter or {}, options or {})
end

--- Trains a new classifier with `adapters[method](options)` on a task. `start`: what the classifier is made from; `changes`:
--- training arguments that this method needs otherwise.
function experiment.fit(p, recipe, start, name, seed, method, options, changes)
  local task = experiment.task(p, name)
  local model = start:classifier { task = task, seed = seed }
  model:add_adapter(adapters[method](experiment.merged(options, { seed = seed })))
  return trainer.fit(experiment.merged(experiment.arguments(p, recipe, name), changes or {}, { model = model, task = task, seed = seed }))
end

--- The cosine between a model's weights before and after, in the model's order: { name, cosine, layer, part } each; `part` is the
--- name without the layer's number.
---@param parts function gets a parameter's name and value, and gives the parts that are compared, by name; nil: none
function experiment.cosines(before, after, parts)
  local list = {}
  after:merge()
  for _, parameter in ipairs(before:parameters()) do
    local was = parts(parameter.name, before:parameter(parameter.name))
    local is = was and parts(parameter.name, after:parameter(parameter.name))
    for name, part in pairs(was or {}) do
      local a, b = part:double(), is[name]:double()
      list[#list + 1] = {
        name = name, layer = math.tointeger(tonumber(name:match("%.(%d+)%."))), part = name:gsub("%.%d+%.", "."):gsub("%.weight", ""),
        cosine = ((a * b):sum() / (a:square():sum() * b:square():sum()):sqrt()):item(),
      }
    end
  end
  after:unmerge()
  return list
end

--- The metric that a task's table shows.
function experiment.metric(p, name) return experiment.task(p, name).metrics[1] end

return experiment
