import Diagnostics
import LuaHost

/// A small stand-in for the tensor: shows how a Swift class, its operators and options tables are bound.
final class Vector: LuaObject {
  static let luaName = "Vector"

  var values: [Double]
  var name = "unnamed"
  private let census: Census?

  init(_ values: [Double], _ census: Census? = nil) {
    self.values = values
    self.census = census
    census?.alive += 1
  }

  deinit { census?.alive -= 1 }

  func combined(_ other: Vector, _ operation: (Double, Double) -> Double) throws -> Vector {
    guard values.count == other.values.count else {
      throw EngineError(
        .shape, "add: sizes differ, [\(values.count)] and [\(other.values.count)]",
        hint: "slice the longer one?")
    }
    return Vector(zip(values, other.values).map(operation), census)
  }
}

/// Counts the objects that are alive.
final class Census {
  var alive = 0
}

/// What operators take on either side.
enum Operand: LuaArgument {
  case number(Double)
  case vector(Vector)

  static var luaType: LuaType { LuaType("Vector|number") }
  static var expectedWord: String { "Vector or number" }

  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> Operand {
    if stack.isNumber(at: index) { return .number(try Double.read(stack, at: index)) }
    if let vector = try? Vector.read(stack, at: index) { return .vector(vector) }
    throw stack.mismatch(expectedWord, at: index)
  }

  func broadcast(to count: Int) -> Vector {
    switch self {
    case .number(let number): return Vector(Array(repeating: number, count: count))
    case .vector(let vector): return vector
    }
  }

  static func apply(
    _ left: Operand, _ right: Operand, _ operation: (Double, Double) -> Double
  ) throws -> Vector {
    switch (left, right) {
    case (.vector(let a), let b): return try a.combined(b.broadcast(to: a.values.count), operation)
    case (let a, .vector(let b)): return try a.broadcast(to: b.values.count).combined(b, operation)
    case (.number(let a), .number(let b)): return Vector([operation(a, b)])
    }
  }
}

enum Rounding: String, LuaChoice {
  case up, down, nearest
}

struct NoiseOptions: LuaRecord {
  var scale = 0.1
  static let recordName = "noise options"
  static let fields: [Field<Self>] = [
    .float("scale", \.scale, "standard deviation", in: Above(0))
  ]
}

struct FillOptions: LuaRecord {
  var r = 8
  var dropout = 0.0
  var limit: Int?
  var rounding = Rounding.nearest
  var targetModules: [String] = ["query", "value"]
  var sizes: [Int] = []
  var flag = false
  var title: String?
  var noise = NoiseOptions()
  var base: Vector?
  var onStep: LuaFunction?

  static let recordName = "fill options"
  static let fields: [Field<Self>] = [
    .int("r", \.r, "rank of the update", in: 1...4096),
    .float("lora_dropout", \.dropout, "dropout on the input", in: 0..<1),
    .int("limit", \.limit, "largest size", in: 1...),
    .value("rounding", \.rounding, "how to round"),
    .value("target_modules", \.targetModules, "which modules"),
    .ints("sizes", \.sizes, "sizes of the axes", in: 0...),
    .value("flag", \.flag, "a switch"),
    .value("title", \.title, "a title"),
    .value("noise", \.noise, "noise to add"),
    .object("base", \.base, "where to start", type: "Vector"),
    .function("on_step", \.onStep, "called after each step", type: "fun(step: integer)"),
  ]

  func validate() throws(EngineError) {
    if let limit, limit < r {
      throw EngineError(.argument, "'limit' (\(limit)) is smaller than 'r' (\(r))")
    }
  }
}

func vectorClass(_ census: Census?) -> Class<Vector> {
  Class<Vector>(
    "A list of numbers.",
    .property("size", "number of elements") { $0.values.count },
    .property("name", "a name", get: { $0.name }, set: { $0.name = $1 }),
    .method("sum", "adds all elements", returns: "the sum") { $0.values.reduce(0, +) },
    .method(
      "get", "one element", Param<Int>("index", "0-based; negative counts from the end", default: 0),
      returns: "the element"
    ) { vector, index in
      let position = index < 0 ? index + vector.values.count : index
      guard vector.values.indices.contains(position) else {
        throw EngineError(
          .argument, "get: index \(index) is outside a Vector of \(vector.values.count)")
      }
      return vector.values[position]
    },
    .method("scale_", "multiplies in place", Param<Double>("factor", "any number")) {
      vector, factor in
      for i in vector.values.indices { vector.values[i] *= factor }
    },
    .method(
      "map", "applies a function", Param<LuaFunction>("f", "takes and returns a number"),
      returns: "new vector"
    ) { vector, function in
      Vector(
        try vector.values.map { try function.call([.number($0)]).first?.double ?? .nan }, census)
    },
    .metamethod(
      "__add", "sum", Param<Operand>("left", "a term"), Param<Operand>("right", "a term")
    ) { try Operand.apply($0, $1, +) },
    .metamethod(
      "__mul", "product", Param<Operand>("left", "a factor"), Param<Operand>("right", "a factor")
    ) { try Operand.apply($0, $1, *) },
    .metamethod("__unm", "negation", Param<Vector>("x", "a vector")) { x in
      Vector(x.values.map { -$0 }, census)
    },
    .metamethod("__len", "number of elements", Param<Vector>("x", "a vector")) { $0.values.count },
    .metamethod(
      "__call", "same as get", Param<Vector>("x", "a vector"), Param<Int>("index", "0-based")
    ) { x, index in x.values.indices.contains(index) ? x.values[index] : nil },
    .metamethod(
      "__index", "one element", Param<Vector>("x", "a vector"), Param<Int>("index", "1-based")
    ) { x, index in x.values.indices.contains(index - 1) ? x.values[index - 1] : nil },
    .metamethod("__tostring", "what print shows", Param<Vector>("x", "a vector")) {
      "Vector[\($0.values.count)]"
    })
}

/// The module of the tests. `census` counts the vectors that are alive.
func vectorModule(_ census: Census? = nil, log: @escaping (String) -> Void = { _ in }) -> Module {
  Module(
    "vec", "Lists of numbers.",
    classes: [vectorClass(census).declaration],
    constants: [Module.Constant("version", "of the module", .integer(3))],
    functions: vectorFunctions(census, log: log))
}

private func vectorFunctions(_ census: Census?, log: @escaping (String) -> Void) -> [Function] {
  [
    Function(
      "new", "A vector of these numbers.", Param<[Double]>("values", "the elements"),
      returns: "new vector"
    ) { Vector($0, census) },
    Function(
      "axpy", "Adds a multiple.", Param<Double>("a", "factor"), Param<Double>("y", "term"),
      Param<Double>("x", "term", default: 1), returns: "a * x + y"
    ) { a, y, x in a * x + y },
    Function(
      "rank", "Checks a rank.", Param<Int>("r", "the rank", default: 8, in: 1...4096),
      returns: "the rank"
    ) { $0 },
    Function(
      "choose", "Checks a choice.", Param<Rounding>("rounding", "how", default: .nearest),
      returns: "its name"
    ) { $0.rawValue },
    Function(
      "fill", "Reads options.", Param<FillOptions>("options", "see the fields"),
      returns: "what was read"
    ) { "\($0.r) \($0.dropout) \($0.rounding) \($0.targetModules) \($0.sizes) \($0.noise.scale)" },
    Function(
      "maybe", "Takes an integer or nothing.", Param<Int?>("n", "a count", in: 0...9),
      returns: "the count or nil"
    ) { $0 },
    Function("both", "Two results.", returns: "a number and a text") { Results(1, "two") },
    Function("echo", "Copies a value.", Param<LuaValue>("value", "anything"), returns: "the same") { $0 },
    Function(
      "count", "Counts its arguments.", Param<Rest<LuaValue>>("values", "anything"),
      returns: "how many"
    ) { $0.values.count },
    Function("text", "Takes a text.", Param<String>("text", "any text"), returns: "the same") { $0 },
    Function("flag", "Takes a switch.", Param<Bool>("on", "a switch"), returns: "the same") { $0 },
    Function("log", "Writes a line.", Param<String>("line", "any text")) { log($0) },
    Function("none", "Takes and gives nothing.") {},
    Function("stop", "As if Ctrl-C came while Swift was working.") {
      throw EngineError(.interrupted, "interrupted")
    },
    Function(
      "apply", "Calls a function.", Param<LuaFunction>("f", "what to call"),
      Param<Rest<LuaValue>>("arguments", "its arguments"), returns: "its results"
    ) { f, arguments in Results(list: try f.call(arguments.values)) },
    Function(
      "same", "Returns the object itself.", Param<Vector>("x", "a vector"), returns: "the object"
    ) { $0 },
  ]
}
