import Adapters
import Diagnostics

/// A method with its options, as the command line gives them: a name, and `name=value` of each `--set`.
package struct AdapterSettings {
  package let method: any AdapterMethod
  package let targets: AdapterTargets
  /// Labels of the model's head; `num_labels=N`, by default 2.
  package let numLabels: Int

  /// Throws `EngineError` for an unknown method, an unknown option, or a value that does not fit.
  package init(adapter: String, settings: [String]) throws {
    self = try Self.read(AdapterCatalogue.method(named: adapter), settings)
  }

  private init(_ method: any AdapterMethod, _ targets: AdapterTargets, numLabels: Int) {
    (self.method, self.targets, self.numLabels) = (method, targets, numLabels)
  }

  private static func read<Method: AdapterMethod>(_ type: Method.Type, _ settings: [String]) throws -> AdapterSettings {
    var options = AdapterOptions<Method>()
    var labels = 2
    for setting in settings {
      guard let equals = setting.firstIndex(of: "="), equals > setting.startIndex else {
        throw EngineError(.argument, "--set \(setting): expected name=value")
      }
      let (name, text) = (String(setting[..<equals]), String(setting[setting.index(after: equals)...]))
      if name == "num_labels" {
        guard let count = Int(text), (1...1_000_000).contains(count) else {
          throw EngineError(.argument, "--set \(setting): expected a number of labels of at least 1")
        }
        labels = count
      } else {
        do { try options.set(name, text: text) } catch { throw error.at("--set \(setting)") }
      }
    }
    return AdapterSettings(options.method, options.targets, numLabels: labels)
  }
}
