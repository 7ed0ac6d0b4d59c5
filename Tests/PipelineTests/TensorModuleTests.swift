import Bindings
import LuaHost
import TensorCore
import TestSupport
import Testing

/// Prints nested lists in one line: `show(x)` of a tensor, a table or a number.
private let prelude = """
  local function flat(v)
    if type(v) ~= 'table' then return tostring(v) end
    local parts = {}
    for i, item in ipairs(v) do parts[i] = flat(item) end
    return '{' .. table.concat(parts, ', ') .. '}'
  end
  local function show(v)
    if type(v) == 'userdata' then return flat(v:tolist()) end
    return flat(v)
  end
  local function near(v, digits)
    local rounded = {}
    for i, x in ipairs(v:flatten():tolist()) do rounded[i] = string.format('%.' .. (digits or 4) .. 'f', x) end
    return flat(rounded)
  end

  """
private let preludeLines = 16

struct ScriptCase: Sendable, CustomTestStringConvertible {
  let script: String
  let expected: String
  var testDescription: String { script }

  init(_ script: String, _ expected: String) {
    self.script = script
    self.expected = expected
  }
}

@Suite(.engine) struct TensorModuleTests {
  @Test(arguments: [
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4.5 } }))", "{{1.0, 2.0}, {3.0, 4.5}}"),
    ScriptCase("show(tensor.tensor({ 1, 2 }, { dtype = 'int32' }))", "{1, 2}"),
    ScriptCase("show(tensor(7))", "7.0"),
    ScriptCase("show(tensor({}).shape)", "{0}"),
    ScriptCase("show(tensor({ {}, {} }).shape)", "{2, 0}"),
    ScriptCase("show(tensor.zeros({ 2, 2 }))", "{{0.0, 0.0}, {0.0, 0.0}}"),
    ScriptCase("show(tensor.ones(2, { dtype = 'int32' }))", "{1, 1}"),
    ScriptCase("show(tensor.full({ 2 }, 0.5, { dtype = 'float64' }))", "{0.5, 0.5}"),
    ScriptCase("show(tensor.full({}, 3))", "3.0"),
    ScriptCase("show(tensor.eye(2))", "{{1.0, 0.0}, {0.0, 1.0}}"),
    ScriptCase("show(tensor.arange(3))", "{0.0, 1.0, 2.0}"),
    ScriptCase("show(tensor.arange(1, 2, 0.5))", "{1.0, 1.5}"),
    ScriptCase("show(tensor.arange(2, 0, -1, { dtype = 'int32' }))", "{2, 1}"),
    ScriptCase("show(tensor.linspace(0, 1, 3))", "{0.0, 0.5, 1.0}"),
    ScriptCase("show(tensor.one_hot({ 1, 0 }))", "{{0.0, 1.0}, {1.0, 0.0}}"),
    ScriptCase("show(tensor.one_hot({ 1 }, 3, { dtype = 'int32' }))", "{{0, 1, 0}}"),
    ScriptCase("show(tensor({ 2 }, { dtype = 'int32' }):one_hot(3))", "{{0.0, 0.0, 1.0}}"),
    ScriptCase("show(tensor.cat({ tensor({ 1 }), tensor({ 2, 3 }) }))", "{1.0, 2.0, 3.0}"),
    ScriptCase(
      "show(tensor.cat({ tensor.zeros({ 1, 1 }), tensor.ones({ 1, 2 }) }, -1))", "{{0.0, 1.0, 1.0}}"
    ),
    ScriptCase(
      "show(tensor.stack({ tensor({ 1, 2 }), tensor({ 3, 4 }) }, 1))", "{{1.0, 3.0}, {2.0, 4.0}}"),
    ScriptCase("show(tensor.where(tensor({ 1, 0 }), tensor({ 5, 6 }), -1))", "{5.0, -1.0}"),
    ScriptCase("show(tensor.where(tensor({ 1, 0 }), 1, 2))", "{1.0, 2.0}"),
    ScriptCase(
      "show(tensor.where(tensor({ 1, 0 }), 2, tensor({ 7, 8 }, { dtype = 'int32' })))", "{2, 8}"),
    ScriptCase("tostring(tensor.grad_enabled())", "true"),
    ScriptCase("show(tensor.randperm(5):sum())", "10"),
  ])
  func creation(_ given: ScriptCase) throws { try check(given) }

  @Test(arguments: [
    ScriptCase("show(tensor({ 1, 2 }) + 1)", "{2.0, 3.0}"),
    ScriptCase("show(1 - tensor({ 1, 2 }))", "{0.0, -1.0}"),
    ScriptCase(
      "show(tensor({ { 1 }, { 2 } }) * tensor({ 10, 20 }))", "{{10.0, 20.0}, {20.0, 40.0}}"),
    ScriptCase("show(2 / tensor({ 1, 4 }))", "{2.0, 0.5}"),
    ScriptCase("show(tensor({ 2, 3 }) ^ 2)", "{4.0, 9.0}"),
    ScriptCase("show(2 ^ tensor({ 2, 3 }))", "{4.0, 8.0}"),
    ScriptCase("show(-tensor({ 1, -2 }))", "{-1.0, 2.0}"),
    ScriptCase("#tensor.zeros({ 3, 2 })", "3"),
    ScriptCase("show(tensor({ 1, 2 }, { dtype = 'int32' }) + 1)", "{2, 3}"),
    ScriptCase("show(tensor({ 1, 2 }, { dtype = 'int32' }) + 0.5)", "{1.5, 2.5}"),
    ScriptCase("show(tensor({ 1, 2, 3 }):eq(2))", "{0.0, 1.0, 0.0}"),
    ScriptCase("show(tensor({ 1, 2, 3 }):ge(tensor({ 3, 2, 1 })))", "{0.0, 1.0, 1.0}"),
    ScriptCase("show(tensor({ 1, 5 }):maximum(3))", "{3.0, 5.0}"),
    ScriptCase("show(tensor({ -2, 0.5, 2 }):clamp(-1, 1))", "{-1.0, 0.5, 1.0}"),
    ScriptCase("show(tensor({ -2, 2 }):clamp(nil, 1))", "{-2.0, 1.0}"),
    ScriptCase("show(tensor({ -1, 4 }):relu():sqrt())", "{0.0, 2.0}"),
    ScriptCase("show(tensor({ 1, 2 }):where(tensor({ 0, 1 }), 9))", "{9.0, 2.0}"),
    ScriptCase("show(tensor({ 1, 2 }):masked_fill(tensor({ 0, 1 }), -math.huge))", "{1.0, -inf}"),
    ScriptCase("near(tensor({ 0 }):sigmoid())", "{0.5000}"),
    ScriptCase("near(tensor({ 1 }):gelu(), 5)", "{0.84134}"),
    ScriptCase("near(tensor({ 1 }):silu(), 5)", "{0.73106}"),
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4 } }):sum())", "10.0"),
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4 } }):sum(0))", "{4.0, 6.0}"),
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4 } }):mean(-1, true))", "{{1.5}, {3.5}}"),
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4 } }):sum({ 0, 1 }))", "10.0"),
    ScriptCase("show(tensor({ 1, 3 }):max())", "3.0"),
    ScriptCase("select('#', tensor({ 1, 3 }):max())", "1"),
    ScriptCase(
      "(function() local v, i = tensor({ { 1, 3 }, { 5, 4 } }):max(1) return show(v) .. show(i) end)()",
      "{3.0, 5.0}{1, 0}"),
    ScriptCase(
      "(function() local v, i = tensor({ 4, 2 }):min(0) return show(v) .. show(i) end)()", "2.01"),
    ScriptCase("show(tensor({ 1, 9, 3 }):argmax())", "1"),
    ScriptCase("show(tensor({ 1, 3 }):var())", "2.0"),
    ScriptCase("show(tensor({ 1, 3 }):var(nil, false, false))", "1.0"),
    ScriptCase("show(tensor({ 1, 3 }):std(0, true, false))", "{1.0}"),
    ScriptCase("show(tensor({ 3, 4 }):norm())", "5.0"),
    ScriptCase("show(tensor({ 3, -4 }):norm(math.huge))", "4.0"),
    ScriptCase("near(tensor({ 0, 0 }):logsumexp())", "{0.6931}"),
    ScriptCase("show(tensor({ 1, 2, 3 }):cumsum(0))", "{1.0, 3.0, 6.0}"),
    ScriptCase("show(tensor({ 0, 0 }):softmax())", "{0.5, 0.5}"),
    ScriptCase("near(tensor({ { 0, 1 } }):log_softmax(0))", "{0.0000, 0.0000}"),
  ])
  func arithmetic(_ given: ScriptCase) throws { try check(given) }

  @Test(arguments: [
    ScriptCase("show(tensor.arange(6):reshape(2, 3))", "{{0.0, 1.0, 2.0}, {3.0, 4.0, 5.0}}"),
    ScriptCase("show(tensor.arange(6):view({ -1, 2 }).shape)", "{3, 2}"),
    ScriptCase("show(tensor.zeros({ 2, 3, 4 }):flatten(1).shape)", "{2, 12}"),
    ScriptCase("show(tensor.zeros(3):unsqueeze(-1).shape)", "{3, 1}"),
    ScriptCase("show(tensor.zeros({ 1, 3, 1 }):squeeze().shape)", "{3}"),
    ScriptCase("show(tensor.zeros({ 1, 3, 1 }):squeeze(0).shape)", "{3, 1}"),
    ScriptCase("show(tensor.zeros({ 2, 3, 4 }):transpose(0, -1).shape)", "{4, 3, 2}"),
    ScriptCase("show(tensor.zeros({ 2, 3 }):t().shape)", "{3, 2}"),
    ScriptCase("show(tensor.zeros({ 2, 3, 4 }):permute(1, 2, 0).shape)", "{3, 4, 2}"),
    ScriptCase("show(tensor({ { 1 }, { 2 } }):expand(-1, 2))", "{{1.0, 1.0}, {2.0, 2.0}}"),
    ScriptCase("show(tensor.arange(5):slice(0, 1, -1))", "{1.0, 2.0, 3.0}"),
    ScriptCase("show(tensor.arange(5):slice(0, nil, nil, 2))", "{0.0, 2.0, 4.0}"),
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4 } }):select(1, -1))", "{2.0, 4.0}"),
    ScriptCase("show(tensor.arange(4):index_select(0, { 3, 0 }))", "{3.0, 0.0}"),
    ScriptCase(
      "show(tensor({ { 1, 2 }, { 3, 4 } }):gather(1, tensor({ { 1 }, { 0 } }, { dtype = 'int32' })))",
      "{{2.0}, {3.0}}"),
    ScriptCase(
      "(function() local p = tensor.arange(5):split(2) return #p .. show(p[3]) end)()", "3{4.0}"),
    ScriptCase(
      "(function() local p = tensor.arange(5):split({ 1, 4 }) return show(p[1]) .. #p[2] end)()",
      "{0.0}4"),
    ScriptCase("#tensor.arange(5):chunk(2)", "2"),
    ScriptCase("show(tensor.ones({ 2, 2 }):tril())", "{{1.0, 0.0}, {1.0, 1.0}}"),
    ScriptCase("show(tensor.ones({ 2, 2 }):triu(1))", "{{0.0, 1.0}, {0.0, 0.0}}"),
    ScriptCase("tensor({ { 1, 2 }, { 3, 4 } }):get(1, -2)", "3.0"),
    ScriptCase("tensor({ 5 }, { dtype = 'int32' }):get(0)", "5"),
    ScriptCase(
      "(function() local t = tensor.zeros({ 2, 2 }) t:set(7, 0, 1) return show(t) end)()",
      "{{0.0, 7.0}, {0.0, 0.0}}"),
    ScriptCase("tensor.zeros({ 2, 3 }):size(-1)", "3"),
    ScriptCase(
      "tensor.zeros({ 2, 3 }).ndim .. ' ' .. tensor.zeros({ 2, 3 }).count .. ' ' .. tensor(1).dtype",
      "2 6 float32"),
    ScriptCase("tensor(2.5):item()", "2.5"),
    ScriptCase("tensor({ 2.7, -2.7 }):int():get(1)", "-2"),
    ScriptCase(
      "(function() local t = tensor(1) return tostring(t == t) .. tostring(t == tensor(1)) .. tostring(t:float() == t) end)()",
      "truefalsetrue"),
  ])
  func shapesAndElements(_ given: ScriptCase) throws { try check(given) }

  @Test(arguments: [
    ScriptCase("show(tensor({ { 1, 2 }, { 3, 4 } }):matmul(tensor({ 1, 1 })))", "{3.0, 7.0}"),
    ScriptCase(
      "show(tensor({ { 1, 2 } }):linear(tensor({ { 1, 1 }, { 0, 1 } }), tensor({ 0.5, 0 })))",
      "{{3.5, 2.0}}"),
    ScriptCase("near(tensor({ { 1, 3 } }):layer_norm())", "{-1.0000, 1.0000}"),
    ScriptCase(
      "near(tensor({ { 1, 3 } }):layer_norm(tensor({ 2, 2 }), tensor({ 1, 1 })))",
      "{-1.0000, 3.0000}"),
    ScriptCase("near(tensor({ { 0, 0 }, { 5, 1 } }):cross_entropy({ 1, -100 }))", "{0.6931}"),
    ScriptCase(
      "near(tensor({ { 0, math.log(3) } }):cross_entropy(tensor({ 1 }, { dtype = 'int32' }), { label_smoothing = 0.5 }))",
      "{0.5623}"),
    ScriptCase("show(tensor({ 1, 2 }):mse_loss(tensor({ 0, 4 })))", "2.5"),
    ScriptCase("show(tensor({ 1, 2 }):dropout(0.3, { training = false }))", "{1.0, 2.0}"),
    ScriptCase("show(tensor.ones(8):dropout(1):sum())", "0.0"),
    ScriptCase(
      "(function() local u, s, vh = tensor({ { 3, 0 }, { 0, -4 } }):svd() return near(s) .. near((u * s):matmul(vh)) end)()",
      "{4.0000, 3.0000}{3.0000, 0.0000, 0.0000, -4.0000}"),
    ScriptCase(
      "(function() local q, r = tensor({ { 1, 2 }, { 3, 4 } }):qr() return near(q:matmul(r)) .. near(q:t():matmul(q):sum()) end)()",
      "{1.0000, 2.0000, 3.0000, 4.0000}{2.0000}"),
    ScriptCase(
      "near(tensor({ { 2, 0 }, { 0, 4 } }):solve(tensor({ { 2 }, { 2 } })))", "{1.0000, 0.5000}"),
    ScriptCase(
      "near(tensor({ { 2, 0 }, { 0, 4 } }):inverse())", "{0.5000, 0.0000, 0.0000, 0.2500}"),
    ScriptCase(
      "near(tensor({ { 4, 2 }, { 2, 2 } }):cholesky())", "{2.0000, 0.0000, 1.0000, 1.0000}"),
    ScriptCase("tensor({ 1 / 3 }):bfloat16().dtype", "bfloat16"),
    ScriptCase("tensor({ 1 / 3 }):bfloat16():get(0)", "0.333984375"),
    ScriptCase("(tensor({ 1 / 3 }):bfloat16() * 3).dtype", "float32"),
    ScriptCase("show(tensor.zeros(2, { dtype = 'bfloat16' }):fill_(1.0001):add_(2))", "{3.0, 3.0}"),
    ScriptCase("show(tensor({ 1, 2 }):add_(1):mul_(tensor({ 2, 3 })):sub_(1))", "{3.0, 8.0}"),
    ScriptCase("show(tensor({ 1, 2 }):copy_(tensor({ 9 })):zero_())", "{0.0, 0.0}"),
    ScriptCase(
      "(function() local x = tensor({ 1 }) x:clone():zero_() return show(x) end)()", "{1.0}"),
    ScriptCase(
      "(function() local x = tensor({ 1 }) x:detach():zero_() return show(x) end)()", "{0.0}"),
  ])
  func algebra(_ given: ScriptCase) throws { try check(given) }

  /// Gradients against numbers worked out by hand.
  @Test(arguments: [
    ScriptCase(
      "local x = tensor({ 1, 2 }, { requires_grad = true }); (x * x + 3 * x):sum():backward() print(show(x.grad))",
      "{5.0, 7.0}"),
    ScriptCase(
      "local x = tensor({ 2 }):requires_grad_(); (1 / x):sum():backward() print(show(x.grad))",
      "{-0.25}"),
    ScriptCase(
      "local x = tensor({ 3 }, { requires_grad = true }); (2 ^ x):sum():backward() print(near(x.grad))",
      "{5.5452}"),
    ScriptCase(
      "local w = tensor({ { 1, 2 } }, { requires_grad = true }) tensor({ { 3, 4 } }):linear(w):sum():backward() print(show(w.grad))",
      "{{3.0, 4.0}}"),
    ScriptCase(
      "local x = tensor({ { 0, 0 } }, { requires_grad = true }) x:cross_entropy({ 1 }):backward() print(show(x.grad))",
      "{{0.5, -0.5}}"),
    ScriptCase(
      "local x = tensor({ 1, 2 }, { requires_grad = true }) x:max():backward() print(show(x.grad))",
      "{0.0, 1.0}"),
    ScriptCase(
      "local x = tensor({ 1, 2 }, { requires_grad = true }) x:clone():sum():backward() print(show(x.grad))",
      "{1.0, 1.0}"),
    ScriptCase(
      "local x = tensor({ 1, 2 }, { requires_grad = true }); (x * 2):backward { gradient = tensor({ 1, 10 }) } print(show(x.grad))",
      "{2.0, 20.0}"),
    ScriptCase(
      "local x = tensor({ 3 }, { requires_grad = true }) local y = (x * x):sum() y:backward { retain_graph = true } y:backward() print(show(x.grad))",
      "{12.0}"),
    ScriptCase(
      "local x = tensor({ 3 }, { requires_grad = true }); (x * x):sum():backward() x:zero_grad() print(x.grad) x.grad = tensor({ 1 }); (x * x):sum():backward() print(show(x.grad)) x.grad = nil print(x.grad)",
      "nil|{7.0}|nil"),
    ScriptCase(
      "local x = tensor({ 1 }, { requires_grad = true }) print(x.is_leaf, (x * 2).is_leaf, x:freeze() == x, x.requires_grad, (x * 2).requires_grad) x.requires_grad = true print(x.requires_grad)",
      "true\tfalse\ttrue\tfalse\tfalse|true"),
    ScriptCase(
      "local x = tensor({ 1 }, { requires_grad = true }) print(tensor.no_grad(function(k) return (x * k).requires_grad, tensor.grad_enabled() end, 2)) print(tensor.grad_enabled())",
      "false\tfalse|true"),
    ScriptCase(
      "print(pcall(tensor.no_grad, function() error('stop', 0) end)) print(tensor.grad_enabled())",
      "false\tstop|true"),
    ScriptCase(
      "local co = coroutine.wrap(function() tensor.no_grad(function() coroutine.yield() end) end) print((pcall(co))) print(tensor.grad_enabled())",
      "false|true"),
    ScriptCase(
      "local x = tensor({ 1, 2 }, { requires_grad = true }) tensor.no_grad(function() x:sub_(1) end) print(show(x))",
      "{0.0, 1.0}"),
  ])
  func gradientsByHand(_ given: ScriptCase) throws {
    let printed = try ScriptHost.with { host, _ in try host.printed(prelude + given.script) }
    #expect(printed.joined(separator: "|") == given.expected)
    #expect(Autograd.isEnabled)
  }

  private func check(_ given: ScriptCase) throws {
    let printed = try ScriptHost.with { host, _ in
      try host.printed(prelude + "print(\(given.script))")
    }
    #expect(printed.joined(separator: "|") == given.expected)
  }
}
