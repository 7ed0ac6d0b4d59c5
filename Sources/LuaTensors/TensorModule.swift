import Diagnostics
import LuaHost
import TensorCore

/// The module `tensor`, whose draws come from `random`.
///
/// - Parameter files: the functions that read and write tensors, since where a script may do so is its host's to say.
package func tensorModule(_ random: RandomState, files: [Function]) -> Module {
  let make = Function(
    "tensor", "A tensor of these numbers.",
    Param<NestedNumbers>("data", "a number, or nested lists of numbers"),
    Param<TensorOptions>("options", "see the fields"), returns: "new tensor"
  ) { data, options in try options.leaf(data.tensor(options.dtype)) }
  var functions = [make] + constants() + sequences() + randomNumbers(random)
  functions += combinations() + gradientModes() + files + memory()
  return Module(
    "tensor",
    "Arrays of numbers with gradients; tensor({ { 1, 2 }, { 3, 4 } }) makes one. Axes are 0-based.",
    classes: [tensorClass(random).declaration], call: make,
    functions: functions)
}

private func sizes() -> Param<Axes> { Param("shape", "sizes of the axes; {} for a scalar") }
private func options() -> Param<TensorOptions> { Param("options", "see the fields") }

/// Tensors of one value.
private func constants() -> [Function] {
  [
    Function("zeros", "Zeros.", sizes(), options(), returns: "new tensor") { shape, options in
      try options.leaf(Tensor.zeros(shape.values, options.dtype))
    },
    Function("ones", "Ones.", sizes(), options(), returns: "new tensor") { shape, options in
      try options.leaf(Tensor.ones(shape.values, options.dtype))
    },
    Function(
      "full", "One value everywhere.", sizes(), Param<Double>("value", "of every element"),
      options(), returns: "new tensor"
    ) { shape, value, options in try options.leaf(Tensor.full(shape.values, value, options.dtype))
    },
    Function(
      "eye", "The identity matrix.", Param<Int>("n", "rows and columns", in: 0...), options(),
      returns: "new tensor [n, n]"
    ) {
      n, options in try options.leaf(Tensor.eye(n, options.dtype))
    },
  ]
}

/// Tensors of numbers in a row.
private func sequences() -> [Function] {
  [
    Function(
      "arange", "start, start + step, ... before stop; with one number, 0 to that number.",
      Param<Double>("start", "first number; the end if it is the only one"),
      Param<Double?>("stop", "where to end, itself excluded"),
      Param<Double>("step", "distance, not 0", default: 1), options(), returns: "new tensor [n]"
    ) { start, stop, step, options in
      try options.leaf(Tensor.arange(stop == nil ? 0 : start, stop ?? start, step, options.dtype))
    },
    Function(
      "linspace", "Evenly spaced numbers, both ends included.",
      Param<Double>("start", "first number"), Param<Double>("stop", "last number"),
      Param<Int>("steps", "how many", in: 0...), options(), returns: "new tensor [steps]"
    ) { start, stop, steps, options in
      try options.leaf(Tensor.linspace(start, stop, steps, options.dtype))
    },
    Function(
      "one_hot", "Rows of zeros with a 1 at the position that each id names.",
      Param<Identifiers>("ids", "0-based: int32 tensor or list"),
      Param<Int?>("num_classes", "size of the new last axis; nil: the largest id + 1", in: 0...),
      options(), returns: "new tensor [..., num_classes]"
    ) { ids, classes, options in
      try options.leaf(oneHot(ids.tensor("one_hot"), classes, options.dtype))
    },
  ]
}

/// Draws of the engine's counter-based generator: functions of seed and call, the same on every
/// machine.
private func randomNumbers(_ random: RandomState) -> [Function] {
  func leaf(_ options: RandomOptions, _ draw: (RandomSource, DType) throws -> Tensor) throws
    -> Tensor
  {
    guard options.dtype.isFloatingPoint else {
      throw EngineError(
        .argument, "random options: 'dtype' must be a floating-point type, got 'int32'",
        hint: "use randperm for integers")
    }
    let tensor = try draw(
      random.source(options.seed), options.dtype == .float64 ? .float64 : .float32)
    return try tensor.to(options.dtype).requiresGrad(options.requiresGrad)
  }
  let options = Param<RandomOptions>("options", "see the fields")
  return [
    Function("rand", "Uniform draws between 0 and 1.", sizes(), options, returns: "new tensor") {
      shape, options in
      try leaf(options) { try Tensor.rand(shape.values, $0, $1) }
    },
    Function(
      "randn", "Normal draws with mean 0 and standard deviation 1.", sizes(), options,
      returns: "new tensor"
    ) {
      shape, options in try leaf(options) { try Tensor.randn(shape.values, $0, $1) }
    },
    Function(
      "randperm", "The numbers 0 to n - 1 in random order.",
      Param<Int>("n", "how many", in: 0...100_000_000),
      Param<Int?>(
        "seed",
        "gives the same order every time; default: --seed or manual_seed, and the call's number",
        in: 0...),
      returns: "new int32 tensor [n]"
    ) { n, seed in try Tensor(random.source(seed).permutation(n).map { Int32($0) }, [n]) },
    Function(
      "manual_seed", "Seeds all later draws of this module that have no seed of their own.",
      Param<Int>("seed", "any number from 0", in: 0...)
    ) { random.restart(seed: $0) },
  ]
}

/// Tensors from several others.
private func combinations() -> [Function] {
  let dim = Param<Int>("dim", "axis, 0-based, negative from the end", default: 0)
  return [
    Function(
      "cat", "Tensors one behind the other along an axis.",
      Param<[Tensor]>("tensors", "of the same other sizes"), dim, returns: "new tensor"
    ) {
      tensors, dim in try Tensor.cat(tensors, dim)
    },
    Function(
      "stack", "Tensors of one shape along a new axis.", Param<[Tensor]>("tensors", "of one shape"),
      dim, returns: "new tensor"
    ) {
      tensors, dim in try Tensor.stack(tensors, dim)
    },
    Function(
      "where", "Elements of a where the condition is not 0, else of b.",
      Param<Tensor>("condition", "a comparison, such as x:gt(0)"),
      Param<Operand>("a", "tensor or number"), Param<Operand>("b", "tensor or number"),
      returns: "new tensor of the broadcast shape"
    ) { condition, a, b in try Tensor.where(condition, a.tensor(like: b), b.tensor(like: a)) },
  ]
}

private func gradientModes() -> [Function] {
  [
    Function(
      "no_grad", "Calls a function without recording for backward().",
      Param<LuaFunction>("body", "what to call"),
      Param<Rest<LuaValue>>("arguments", "its arguments"), returns: "its results"
    ) { body, arguments in try Autograd.noGrad { Results(list: try body.call(arguments.values)) } },
    Function(
      "grad_enabled", "Whether operations are recorded for backward().",
      returns: "false inside no_grad"
    ) { Autograd.isEnabled },
  ]
}

private func memory() -> [Function] {
  [
    Function("memory", "Bytes that tensors hold, in all.", returns: "table: live, peak") {
      LuaTable(fields: ["live": .integer(Memory.liveBytes), "peak": .integer(Memory.peakBytes)])
    }
  ]
}
