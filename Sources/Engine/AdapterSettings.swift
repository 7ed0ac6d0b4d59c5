import Adapters
import Diagnostics

/// A method with its options, as the command line gives them: a name, and `name=value` of each `--set`.
package struct AdapterSettings {
  package let method: any AdapterMethod
  package let targets: AdapterTargets
  /// Labels of the model's head, where `num_labels=N` is among the settings.
  package let numLabels: Int?

  /// Throws `EngineError` for an unknown method, an unknown option, or a value that does not fit.
  package init(adapter: String, settings: [String]) throws {
    self = try Self.native(AdapterCatalogue.method(named: adapter), settings)
  }

  /// The same for a method that has options beside its declared ones: `make` gets the settings whose names are among `own`.
  package init<Method: AdapterMethod>(own: [String], settings: [String], make: ([String]) throws -> Method) throws {
    let given = try Given<Method>(settings, apart: own)
    self.init(try make(given.apart), given.options.targets, numLabels: given.numLabels)
  }

  private init(_ method: any AdapterMethod, _ targets: AdapterTargets, numLabels: Int?) {
    (self.method, self.targets, self.numLabels) = (method, targets, numLabels)
  }

  private static func native<Method: AdapterMethod>(_ type: Method.Type, _ settings: [String]) throws -> AdapterSettings {
    let given = try Given<Method>(settings)
    return AdapterSettings(given.options.method, given.options.targets, numLabels: given.numLabels)
  }
}

/// The settings of a command line, read.
private struct Given<Method: AdapterMethod> {
  var options = AdapterOptions<Method>()
  var numLabels: Int?
  /// Those that somebody else reads.
  var apart: [String] = []

  init(_ settings: [String], apart names: [String] = []) throws {
    let known = names + AdapterOptions<Method>.fields.map(\.name) + ["num_labels"]
    for text in settings {
      let setting = try Setting(text)
      guard known.contains(setting.name) else {
        throw setting.unknown(among: known, hint: AdapterOptions<Method>.foreignNames[setting.name]?.remedy(among: known))
      }
      if names.contains(setting.name) {
        apart.append(text)
      } else if setting.name == "num_labels" {
        guard let count = Int(setting.value), (1...1_000_000).contains(count) else {
          throw EngineError(.argument, "\(setting.place): expected a number of labels of at least 1")
        }
        numLabels = count
      } else {
        do { try options.set(setting.name, text: setting.value) } catch { throw error.at(setting.place) }
      }
    }
  }
}
