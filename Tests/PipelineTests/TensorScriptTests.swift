import Bindings
import Commands
import Files
import Foundation
import LuaHost
import TensorCore
import TestSupport
import Testing

/// Messages, printing, random numbers, files, memory and declarations of the module `tensor`.
@Suite(.engine) struct TensorScriptTests {
  @Test(arguments: [
    ScriptCase(
      "tensor({ { 1, 2 }, { 3 } })",
      "bad argument #1 'data' to 'tensor' (expected 2 values as in the list before it, got 1 values at [2])"
    ),
    ScriptCase(
      "tensor({ 1, { 2 } })",
      "bad argument #1 'data' to 'tensor' (expected a number as before it, got a table at [2])"),
    ScriptCase(
      "tensor({ { 1 }, 2 })",
      "bad argument #1 'data' to 'tensor' (expected a list of 1 values as at [1], got a number at [2])"
    ),
    ScriptCase(
      "tensor({ 'a' })", "bad argument #1 'data' to 'tensor' (expected a number, got string at [1])"
    ),
    ScriptCase(
      "tensor({ x = 1 })",
      "bad argument #1 'data' to 'tensor' (expected nested lists of numbers, got a field named 'x')"
    ),
    ScriptCase(
      "tensor()",
      "bad argument #1 'data' to 'tensor' (expected number or nested lists of numbers, got nothing)"
    ),
    ScriptCase("tensor({ 1.5 }, { dtype = 'int32' })", "tensor: 1.5 is not an int32"),
    ScriptCase(
      "tensor({ 1 }, { dtype = 'float23' })",
      "tensor options: 'dtype' must be one of 'float32', 'float64', 'bfloat16', 'int32', got 'float23'; did you mean 'float32'?"
    ),
    ScriptCase(
      "tensor({ 1 }, { dype = 'float32' })",
      "tensor options: unknown field 'dype'; did you mean 'dtype'?"),
    ScriptCase(
      "tensor({ 1 }, { dtype = 'int32', requires_grad = true })",
      "requires_grad of [1] int32: expected float32 or float64"),
    ScriptCase("tensor.zeros({ -1 })", "negative size in shape [-1]"),
    ScriptCase(
      "tensor.zeros({ 1 << 40, 1 << 40 })",
      "shape [1099511627776, 1099511627776] has too many elements"),
    ScriptCase(
      "tensor.zeros({ 1.5 })",
      "bad argument #1 'shape' to 'zeros' (expected list of integers, got 1.5 at [1])"),
    ScriptCase(
      "tensor.eye(-1)", "bad argument #1 'n' to 'eye' (expected integer at least 0, got -1)"),
    ScriptCase(
      "tensor.randperm(-1)",
      "bad argument #1 'n' to 'randperm' (expected integer from 0 to 100000000, got -1)"),
    ScriptCase(
      "tensor.rand({ 2 }, { seed = -1 })",
      "random options: 'seed' must be an integer at least 0, got -1"),
    ScriptCase(
      "tensor.randn({ 2 }, { dtype = 'int32' })",
      "random options: 'dtype' must be a floating-point type, got 'int32'; use randperm for integers"
    ),
    ScriptCase("tensor.arange(0, 1, 0)", "arange: from 0.0 to 1.0 in steps of 0.0"),
    ScriptCase("tensor.one_hot({ 3 }, 2)", "one_hot: id 3 is outside 0..<2"),
    ScriptCase("tensor.one_hot({ 1 << 40 })", "one_hot: id 1099511627776 is not an int32"),
    ScriptCase(
      "tensor.one_hot(tensor({ 1 }))",
      "one_hot: ids of float32, expected int32; convert with :int()"),
    ScriptCase("tensor.cat({})", "cat: no tensors"),
    ScriptCase(
      "tensor.cat({ 1 })",
      "bad argument #1 'tensors' to 'cat' (expected list of Tensors, got number at [1])"),
    ScriptCase(
      "tensor.softmx()",
      "module 'tensor' has no 'softmx'; tensor is a function: tensor(data, [options]) gives new tensor"),
    ScriptCase(
      "tensor({ 1 }):sofmax()", "Tensor has no field or method 'sofmax'; did you mean 'softmax'?"),
    ScriptCase(
      "tensor({ 1 }):sum('x')",
      "bad argument #1 'dim' to 'sum' (expected integer or list of integers, got string)"),
    ScriptCase("tensor({ 1 }):sum(1)", "sum: axis 1 of a tensor with 1 axes, expected -1 to 0"),
    ScriptCase(
      "tensor({ 1 }):softmax(0, 1)", "too many arguments to 'softmax' (expected 1 argument, got 2)"),
    ScriptCase(
      "tensor({ 1, 2 }) + tensor({ 1, 2, 3 })",
      "add: shapes [2] and [3] do not fit each other: 2 against 3"),
    ScriptCase(
      "tensor({ 1 }) + 'x'",
      "bad argument #2 'right' to '__add' (expected Tensor or number, got string)"),
    ScriptCase(
      "tensor({ 1, 2 }):matmul(tensor({ 1, 2, 3 }))",
      "matmul: [2] and [3]: 2 columns on the left, 3 rows on the right"),
    ScriptCase(
      "tensor({ 1 })[1]",
      "a Tensor has no elements in square brackets; positions count from 0: use t:get(i, ...), t:set(value, i, ...), t:select(dim, i) or t:slice(dim, start, stop)"
    ),
    ScriptCase("#tensor(1)", "#: a scalar has no axes; use .count for the number of elements"),
    ScriptCase(
      "tensor({ 1 }):get(1)", "get: position 1 is outside axis 0 of [1]; positions count from 0"),
    ScriptCase(
      "tensor({ { 1 } }):get(0)",
      "get: 1 positions for [1, 1] float32: expected 2, one for each axis"),
    ScriptCase("tensor.zeros(2):reshape(3)", "reshape: [2] has 2 elements, [3] would have 3"),
    ScriptCase(
      "tensor.zeros(2):reshape({ 2 }, 1)",
      "bad argument #1 'sizes' to 'reshape' (expected one list, or integers, got a list and more)"),
    ScriptCase("tensor.zeros(2):split(0)", "split: size 0, expected 1 or more"),
    ScriptCase(
      "tensor.zeros(2):slice(0, nil, nil, 0)",
      "bad argument #4 'step' to 'slice' (expected integer at least 1, got 0)"),
    ScriptCase("tensor.zeros(2):item()", "item() of [2] float32: expected one element"),
    ScriptCase(
      "tensor.zeros({ 1, 2 }):cross_entropy({ 2 })", "cross_entropy: label 2 is outside 0..<2"),
    ScriptCase(
      "tensor.zeros({ 1, 2 }):cross_entropy({ 0 }, { smoothing = 1 })",
      "cross_entropy options: unknown field 'smoothing'; expected one of label_smoothing"),
    ScriptCase(
      "tensor.zeros({ 2, 1 }):mse_loss(tensor.zeros(2))",
      "mse_loss: [2, 1] against [2]: expected the same shape"),
    ScriptCase(
      "tensor.zeros(2):dropout(1.5)",
      "bad argument #1 'p' to 'dropout' (expected number from 0 to 1, got 1.5)"),
    ScriptCase(
      "tensor({ 1, 2 }, { requires_grad = true }):backward()",
      "backward() of [2] float32; reduce it to a scalar first, or pass a gradient"),
    ScriptCase(
      "tensor({ 1 }):backward()",
      "backward(): the tensor does not require grad, nothing leads to a trainable tensor"),
    ScriptCase(
      "tensor({ 1 }, { requires_grad = true }):add_(1)",
      "add_: [1] float32 is a leaf that requires grad; use no_grad()"),
    ScriptCase(
      "tensor({ 1 }, { requires_grad = true }):set(1, 0)",
      "set: [1] float32 is a leaf that requires grad; use no_grad()"),
    ScriptCase(
      "(tensor({ 1 }, { requires_grad = true }) * 2):freeze()",
      "requires_grad of a result; detach() it first"),
    ScriptCase("tensor({ 1e10 }):int()", "cannot convert 10000000000.0 to int32"),
    ScriptCase(
      "tensor({ { 1, 1 }, { 1, 1 } }):solve(tensor({ { 1 }, { 1 } }))",
      "solve: the matrix [2, 2] is singular (pivot 1)"),
    ScriptCase(
      "tensor.zeros({ 1 }).shpe", "Tensor has no field or method 'shpe'; did you mean 'shape'?"),
    ScriptCase(
      "tensor.no_grad(3)", "bad argument #1 'body' to 'no_grad' (expected function, got number)"),
    ScriptCase(
      "tensor.save('../x.safetensors', {})",
      "'../x.safetensors': scripts write inside the run directory: expected a relative path without '..'"
    ),
    ScriptCase("tensor.save('x', { a = 1 })", "save: 'a' must be a Tensor, got number"),
    ScriptCase(
      "tensor.save('x', { tensor(1) })", "save: tensor without a name; write name = tensor"),
    ScriptCase(
      "trainer.adamw { parameters = { tensor({ 1 }) } }",
      "adamw: parameters[1] is [1] float32: expected a float32 tensor that requires gradients and is no result"
    ),
    ScriptCase("trainer.adamw {}", "adamw options: give either 'parameters' or 'model'"),
    ScriptCase(
      "trainer.adamw { parameters = { 1 } }",
      "adamw options: 'parameters[1]' must be a Tensor, got 1"),
    ScriptCase(
      "trainer.adamw { parameters = {}, betas = { 1, 2 } }",
      "adamw options: 'betas' must be two numbers, at least 0 and below 1"),
  ])
  func messages(_ given: ScriptCase) throws {
    let message = try ScriptHost.with { host, _ in try host.failure("\n\nlocal _ = \(given.script)")
    }
    #expect(message == "t.lua:3: " + given.expected)
  }

  @Test func assigningAnElementExplainsItself() throws {
    let message = try ScriptHost.with { host, _ in
      try host.failure("local t = tensor({ 1 })\nt[1] = 2")
    }
    #expect(
      message?.hasPrefix(
        "t.lua:2: a Tensor has no elements in square brackets; positions count from 0") == true)
  }

  /// No number of a script may end the process. Each call either works or raises an error.
  @Test func hugeAndNegativeArgumentsRaiseErrors() throws {
    let script = """
      local numbers = { 0, 1, -1, -2, math.mininteger, math.maxinteger, 1 << 31, 1 << 32, 0 / 0, 1 / 0, -1 / 0, 1e300, 0.5 }
      local x = tensor.arange(6):reshape(2, 3)
      local methods = { 'sum', 'mean', 'softmax', 'cumsum', 'max', 'argmin', 'norm', 'flatten', 'unsqueeze', 'squeeze',
        'reshape', 'expand', 'permute', 'transpose', 'select', 'slice', 'split', 'chunk', 'tril', 'triu', 'clamp', 'size',
        'get', 'set', 'dropout', 'fill_', 'add_', 'mul_', 'pow', 'masked_fill', 'var', 'one_hot', 'layer_norm' }
      local functions = { 'eye', 'arange', 'linspace', 'randperm', 'manual_seed' }
      local calls = 0
      for _, a in ipairs(numbers) do
        for _, b in ipairs(numbers) do
          for _, name in ipairs(methods) do
            calls = calls + 1
            pcall(x[name], x:clone(), a) pcall(x[name], x:clone(), a, b) pcall(x[name], x:clone(), { a, b })
          end
          for _, name in ipairs(functions) do
            -- What would only take long, or much memory.
            local isLarge = (a > 1000 and a < 1e15) or (b > 1000 and b < 1e15)
            if not isLarge then pcall(tensor[name], a) pcall(tensor[name], a, b) end
          end
          pcall(tensor.full, { 2 }, a, { dtype = 'int32' }) pcall(tensor.zeros, { a, b, 0 }) pcall(x.index_select, x, 0, { a, b })
          pcall(x.int, tensor({ a, b })) pcall(tensor.one_hot, { 0 }, a > 1000 and -1 or a) pcall(x.slice, x, 1, a, b, 1)
        end
      end
      print(calls)
      """
    let printed = try ScriptHost.with { host, _ in try host.printed(script) }
    #expect(printed == ["\(13 * 13 * 33)"])
  }

  @Test(arguments: [
    ScriptCase(
      "tensor({ { 1, 2 }, { 3, -4 } })",
      "tensor([[ 1,  2],|        [ 3, -4]], shape=[2, 2], dtype=float32)"),
    ScriptCase(
      "tensor({ 0.5, 10 }, { requires_grad = true })",
      "tensor([ 0.5000, 10.0000], shape=[2], dtype=float32, requires_grad=true)"),
    ScriptCase("tensor(3)", "tensor(3, shape=[], dtype=float32)"),
    ScriptCase("tensor.zeros({ 2, 0 })", "tensor([], shape=[2, 0], dtype=float32)"),
    ScriptCase(
      "tensor.arange(100)", "tensor([ 0,  1,  2, ..., 97, 98, 99], shape=[100], dtype=float32)"),
    ScriptCase("tensor({ 1e-9, 1 })", "tensor([1.0000e-09, 1.0000e+00], shape=[2], dtype=float32)"),
    ScriptCase("tensor({ 0 / 0, 1 / 0, 1 })", "tensor([nan, inf,   1], shape=[3], dtype=float32)"),
    ScriptCase(
      "tensor.zeros({ 2, 1, 1 }, { dtype = 'int32' })",
      "tensor([[[0]],||        [[0]]], shape=[2, 1, 1], dtype=int32)"),
    ScriptCase("tensor.zeros({ 1 << 20, 1 << 5 }).count", "33554432"),
  ])
  func printing(_ given: ScriptCase) throws {
    // The sign of not a number depends on the machine; its text does not.
    let printed = try ScriptHost.with { host, _ in try host.printed("print(\(given.script))") }
    #expect(printed.joined(separator: "|") == given.expected)
  }

  @Test func randomNumbersFollowSeedAndCall() throws {
    let script = """
      local function row() return table.concat(tensor.rand({ 3 }):tolist(), ' ') end
      print(row()) print(row()) tensor.manual_seed(7) print(row()) tensor.manual_seed(7) print(row())
      print(tensor.randn({ 2 }, { seed = 5 }):sub(tensor.randn({ 2 }, { seed = 5 })):abs():sum():item())
      """
    let first = try ScriptHost.with(seed: 1) { host, _ in try host.printed(script) }
    let again = try ScriptHost.with(seed: 1) { host, _ in try host.printed(script) }
    let other = try ScriptHost.with(seed: 2) { host, _ in try host.printed(script) }
    #expect(first == again)
    #expect(Set([first[0], first[1], first[2], other[0], other[1]]).count == 5)
    #expect(first[2] == first[3] && first[2] == other[2])
    #expect(first[4] == "0.0")
  }

  @Test func filesRoundTrip() throws {
    let script = """
      local path = tensor.save('deep/x.safetensors', {
        a = tensor({ { 1, 2 } }), b = tensor({ 0.1 }, { dtype = 'float64' }), c = tensor({ 3 }, { dtype = 'int32' }),
        d = tensor({ 1 / 3 }):bfloat16(), e = tensor.zeros({ 0, 2 }) })
      local back = tensor.load(path)
      local names = {}
      for name, t in pairs(back) do names[#names + 1] = name .. ' ' .. t.dtype .. ' ' .. table.concat(t.shape, 'x') end
      table.sort(names)
      for _, name in ipairs(names) do print(name) end
      print(back.a:get(0, 1), back.b:item(), back.c:item(), back.d:item())
      back.a:add_(1)
      print(back.a:get(0, 0), tensor.load(path).a:get(0, 0))
      """
    try ScriptHost.with { host, folder in
      let printed = try host.printed(script)
      #expect(
        printed == [
          "a float32 1x2", "b float64 1", "c int32 1", "d bfloat16 1", "e float32 0x2",
          "2.0\t0.1\t3\t0.333984375", "2.0\t1.0",
        ])
      #expect(FileManager.default.fileExists(atPath: host.runFolder + "/deep/x.safetensors"))
      let failure = try host.failure("tensor.load('\(folder)/none.safetensors')")
      #expect(failure?.contains("none.safetensors") == true)
    }
    let checked = try ScriptHost.with(mode: .check) { host, _ in
      try host.printed("print(tensor.save('x.safetensors', { a = tensor(1) }))")
    }
    #expect(checked == ["x.safetensors"])
  }

  @Test func droppedTensorsAreFreed() throws {
    let before = Memory.liveBytes
    Memory.resetPeak()
    try ScriptHost.with { host, _ in
      _ = try host.printed("for i = 1, 2000 do local t = tensor.zeros({ 1024, 1024 }) end")
      #expect(Memory.peakBytes - before < 400 << 20)
      let printed = try host.printed(
        "local m = tensor.memory() print(m.peak >= m.live, m.live > 0)")
      #expect(printed == ["true\ttrue"])
    }
    #expect(Memory.liveBytes == before)
  }

  @Test func optimizerFollowsTorch() throws {
    // torch.optim.AdamW, lr 0.1, weight decay 0.01: the first step goes by lr against the gradient's sign.
    let script = """
      local w = tensor({ 1, -2 }, { requires_grad = true })
      local optimizer = trainer.adamw { parameters = { w }, learning_rate = 0.1 };
      (w * w):sum():backward()
      print(string.format('%.4f', optimizer:clip_grad_norm(1)), string.format('%.4f %.4f', w.grad:get(0), w.grad:get(1)))
      optimizer:step()
      print(string.format('%.5f %.5f', w:get(0), w:get(1)), optimizer.steps, optimizer)
      optimizer:zero_grad()
      optimizer.learning_rate = 0
      print(w.grad, optimizer.learning_rate, pcall(function() optimizer.learning_rate = -1 end))
      """
    let printed = try ScriptHost.with { host, _ in try host.printed(script) }
    #expect(
      printed == [
        "4.4721\t0.4472 -0.8944", "0.89900 -1.89800\t1\tAdamW(1 parameters, learning_rate = 0.1)",
        "nil\t0.0\tfalse\tt.lua:9: learning_rate = -1.0: expected a finite number of at least 0",
      ])
  }

  @Test func everythingIsExplained() throws {
    #expect(
      try Runner.undocumented().filter {
        $0.contains("ensor") || $0.contains("AdamW") || $0.contains("adamw")
      } == [])
  }

  @Test func stubsAreLuaThatLoads() throws {
    let stubs = try Runner.stubs()
    let text = try #require(stubs.first { $0.name == "tensor.lua" }?.text)
    for part in [
      "---@class Tensor\n", "---@field shape integer[] sizes of the axes\n",
      "---@operator add(Tensor|number): Tensor\n",
      "---@param dim? integer axis, 0-based, negative from the end (default -1)\n---@return Tensor # new tensor of the same shape\nfunction Tensor:softmax(dim) end\n",
      "---@return Tensor, Tensor, Tensor # U, S (descending), Vh\nfunction Tensor:svd() end\n",
      "---@alias DType\n---| \"float32\"\n",
      "---@overload fun(data: number|table, options?: TensorOptions): Tensor\ntensor = {}\n",
    ] {
      #expect(text.contains(part), "\(part)")
    }
    // The state's globals are sealed: give each file its own.
    let state = try LuaState()
    defer { state.close() }
    for (name, text) in stubs { try state.run(text: "local _ENV = {}\n" + text, name: name) }
  }
}
