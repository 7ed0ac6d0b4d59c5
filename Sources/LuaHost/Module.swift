import Diagnostics

/// A table of functions, constants and the classes that belong to them: `tensor`, `models`, ...
///
/// Scripts see it as a global and through `require`.
public struct Module {
  /// A value that scripts can read.
  public struct Constant {
    public let name: String
    public let doc: String
    public let value: LuaValue

    public init(_ name: String, _ doc: String, _ value: LuaValue) {
      self.name = name
      self.doc = doc
      self.value = value
    }
  }

  public let name: String
  public let doc: String
  public let classes: [ClassDeclaration]
  public let functions: [Function]
  public let constants: [Constant]
  /// What calling the module itself does.
  public let call: Function?
  /// Names from elsewhere that it does not have, and what to use instead.
  public let absent: [String: String]

  public init(
    _ name: String, _ doc: String, classes: [ClassDeclaration] = [], constants: [Constant] = [],
    call: Function? = nil, absent: [String: String] = [:], functions: [Function] = []
  ) {
    self.name = name
    self.doc = doc
    self.classes = classes
    self.functions = functions
    self.constants = constants
    self.call = call
    self.absent = absent
  }

  /// The same module with one more function.
  func adding(_ function: Function) -> Module {
    Module(name, doc, classes: classes, constants: constants, call: call, absent: absent, functions: functions + [function])
  }

  var memberNames: [String] { functions.map(\.name) + constants.map(\.name) }
}
