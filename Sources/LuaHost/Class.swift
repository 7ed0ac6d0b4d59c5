import CLuaBridge
import Diagnostics

/// A class as scripts see it: its methods, properties and operators.
///
///     Class<Tensor>("An array of numbers with gradients.",
///       .property("shape", "sizes of the axes") { $0.shape },
///       .method("softmax", "...", Param<Int>("dim", "axis", default: -1), returns: "...") { try $0.softmax(dim: $1) },
///       .metamethod("__add", "elementwise sum", Param<Operand>("a", "..."), Param<Operand>("b", "...")) { ... })
///
/// Every class also has `__gc`, `__close` (exact release with `local t <close> = ...`), and `__eq` by identity
/// unless it declares its own.
public struct Class<Owner: LuaObject> {
  public let declaration: ClassDeclaration

  public init(_ doc: String, _ members: Member<Owner>...) {
    self.init(doc, members: members)
  }

  /// The same from a list, for classes that are put together from several files.
  public init(_ doc: String, members: [Member<Owner>]) {
    var declaration = ClassDeclaration(name: Owner.luaName, doc: doc, type: ObjectIdentifier(Owner.self))
    for member in members { member.add(to: &declaration) }
    self.declaration = declaration
  }
}

/// A class without its Swift type.
public struct ClassDeclaration {
  /// A field that is computed.
  public struct Property {
    public let name: String
    public let doc: String
    public let type: LuaType
    /// Whether scripts may assign it.
    public var isSettable: Bool { setter != nil }
    let getter: Function
    let setter: Function?
  }

  public let name: String
  public let doc: String
  let type: ObjectIdentifier
  public internal(set) var methods: [Function] = []
  public internal(set) var properties: [Property] = []
  public internal(set) var metamethods: [Function] = []
  /// Names from elsewhere that it does not have, and what to use instead.
  public internal(set) var absent: [String: String] = [:]
  /// Fields that an instance has beside the declared ones, and their names for suggestions.
  var dynamicFields: ((_ object: AnyObject) -> [String: LuaValue])?

  var memberNames: [String] { methods.map(\.name) + properties.map(\.name) }
}

/// A method, property or operator of a class.
public struct Member<Owner: LuaObject> {
  let add: (inout ClassDeclaration) -> Void

  func add(to declaration: inout ClassDeclaration) { add(&declaration) }

  /// A method with a result, called as `object:name(...)`.
  public static func method<each Value: LuaArgument, Result: LuaResult>(
    _ name: String, _ doc: String, _ parameters: repeat Param<each Value>, returns: String = "",
    _ body: @escaping (Owner, repeat each Value) throws -> Result
  ) -> Member {
    method(
      Function(
        name: name, doc: doc, parameters: describe(repeat each parameters), returns: returns,
        resultType: Result.luaType
      ) { stack, first in
        let owner = try receiver(name, stack, first)
        var reader = ArgumentReader(name, stack, first + 1)
        let arguments = (repeat try reader.next(each parameters))
        try reader.finish()
        return try body(owner, repeat each arguments).push(onto: stack)
      })
  }

  /// A method without a result.
  public static func method<each Value: LuaArgument>(
    _ name: String, _ doc: String, _ parameters: repeat Param<each Value>,
    body: @escaping (Owner, repeat each Value) throws -> Void
  ) -> Member {
    method(
      Function(
        name: name, doc: doc, parameters: describe(repeat each parameters), returns: "",
        resultType: nil
      ) { stack, first in
        let owner = try receiver(name, stack, first)
        var reader = ArgumentReader(name, stack, first + 1)
        let arguments = (repeat try reader.next(each parameters))
        try reader.finish()
        try body(owner, repeat each arguments)
        return 0
      })
  }

  private static func method(_ function: Function) -> Member {
    Member { declaration in
      declaration.methods.removeAll { $0.name == function.name }
      declaration.methods.append(function)
    }
  }

  /// A field that is computed each time it is read; with `set` it can be assigned.
  public static func property<Value: LuaResult>(
    _ name: String, _ doc: String, _ get: @escaping (Owner) throws -> Value
  ) -> Member {
    property(name, doc, Value.luaType, get, set: nil)
  }

  /// A field that scripts can read and assign.
  public static func property<Value: LuaResult & LuaArgument>(
    _ name: String, _ doc: String, get: @escaping (Owner) throws -> Value,
    set: @escaping (Owner, Value) throws -> Void
  ) -> Member {
    let setter = Function(
      name: name, doc: doc, parameters: [], returns: "", resultType: nil
    ) { stack, first in
      let owner = try receiver(name, stack, first)
      let value: Value
      do throws(ValueMismatch) {
        value = try Value.read(stack, at: first + 1)
      } catch {
        if let report = error.report { throw report.at("\(Owner.luaName): '\(name)'") }
        throw EngineError(
          .argument,
          "field '\(name)' of \(Owner.luaName) must be \(error.expected), got \(error.found)")
      }
      try set(owner, value)
      return 0
    }
    return property(name, doc, Value.luaType, get, set: setter)
  }

  private static func property<Value: LuaResult>(
    _ name: String, _ doc: String, _ type: LuaType, _ get: @escaping (Owner) throws -> Value,
    set: Function?
  ) -> Member {
    let getter = Function(
      name: name, doc: doc, parameters: [], returns: "", resultType: type
    ) { stack, first in try get(try receiver(name, stack, first)).push(onto: stack) }
    let property = ClassDeclaration.Property(
      name: name, doc: doc, type: type, getter: getter, setter: set)
    return Member { declaration in
      declaration.properties.removeAll { $0.name == name }
      declaration.properties.append(property)
    }
  }

  /// What to use instead of names that other libraries' classes have: "trainer.evaluate { ... }".
  public static func absent(_ names: [String: String]) -> Member {
    Member { declaration in declaration.absent.merge(names) { $1 } }
  }

  /// Fields that differ from instance to instance, looked up after the declared ones.
  public static func dynamicFields(_ fields: @escaping (Owner) -> [String: LuaValue]) -> Member {
    Member { declaration in
      declaration.dynamicFields = { object in (object as? Owner).map(fields) ?? [:] }
    }
  }

  /// An operator. Lua may pass the object on either side, so all operands are declared:
  /// `__add`, `__unm`, `__len`, `__call`, `__concat`, `__tostring`, `__index` and `__newindex` (for keys that
  /// are no names), ...
  public static func metamethod<each Value: LuaArgument, Result: LuaResult>(
    _ name: String, _ doc: String, _ parameters: repeat Param<each Value>, returns: String = "",
    _ body: @escaping (repeat each Value) throws -> Result
  ) -> Member {
    metamethod(
      Function(
        name: name, doc: doc, parameters: describe(repeat each parameters), returns: returns,
        resultType: Result.luaType
      ) { stack, first in
        // Lua passes unary operands twice: no check for too many, except in calls.
        var reader = ArgumentReader(name, stack, first)
        let arguments = (repeat try reader.next(each parameters))
        if name == "__call" { try reader.finish() }
        return try body(repeat each arguments).push(onto: stack)
      })
  }

  private static func metamethod(_ function: Function) -> Member {
    Member { declaration in
      declaration.metamethods.removeAll { $0.name == function.name }
      declaration.metamethods.append(function)
    }
  }

  private static func receiver(
    _ name: String, _ stack: LuaStack, _ index: Int32
  ) throws -> Owner {
    do throws(ValueMismatch) {
      return try Owner.read(stack, at: index)
    } catch {
      throw EngineError(
        .argument, "'\(name)' needs \(error.expected) before it, got \(error.found)",
        hint: error.found.hasPrefix("a released") ? nil : "call it as object:\(name)(...)")
    }
  }
}
