import Adapters
import Checkpoints
import Diagnostics
import Engine
import Files
import LuaHost

/// The methods that a script has defined.
package final class LuaDefinitions {
  /// In order.
  package private(set) var all: [LuaDefinition] = []
  /// Adds a function to the module `adapters`; the text tells it from others of its name.
  package var addConstructor: (Function, String) throws -> LuaFunction = { function, _ in
    throw EngineError(.argument, "define: no script can define '\(function.name)' here")
  }
  private let session: Session

  package init(_ session: Session) { self.session = session }

  /// Takes a method's definition, and gives its constructor.
  func define(_ name: String, _ parts: DefinitionOptions) throws -> LuaFunction {
    if AdapterCatalogue.methods.contains(where: { $0.name == name }) || name == "define" {
      throw EngineError(.argument, "define: adapters.\(name) exists already", hint: "take another name")
    }
    guard !all.contains(where: { $0.name == name }) else {
      throw EngineError(.argument, "define: '\(name)' is defined twice", hint: "put it into a file of its own and require that")
    }
    let definition = try LuaDefinition(name, parts, random: session.random)
    let constructor = Function(
      name, parts.doc.isEmpty ? "A method that the script defined." : parts.doc,
      Param<LuaTable?>("options", "those of the method's config, and those of all methods"), returns: "adapter for Model:add_adapter"
    ) { options in try AdapterSpec(definition, options ?? LuaTable()) }
    let function = try addConstructor(constructor, definition.digest)
    all.append(definition)
    return function
  }

  /// The method in an adapter's folder that a script had defined; see `AdapterMethodReader`.
  package func method(_ peftType: String, _ config: HuggingFaceConfig) throws -> (any AdapterMethod)? {
    guard peftType == LuaMethod.folderType else { return nil }
    let name = try config.string("method")
    guard let definition = all.first(where: { $0.name == name }) else {
      throw EngineError(
        .data, "\(config.path): the adapter's method '\(name)' is defined in Lua, and this script does not define it",
        hint: suggestion(for: name, among: all.map(\.name)) ?? "define it with adapters.define before load_adapter")
    }
    if try config.string("definition") != definition.digest {
      session.noteOnce("warning: \(config.path): method '\(name)' was defined otherwise when the adapter was saved")
    }
    return try definition.method(config["options"]?.objectValue ?? JSONObject(), place: "\(config.path): options")
  }
}
