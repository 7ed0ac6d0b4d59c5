import Files
import Pipelines
import TensorCore

/// Who multiplies each kind of product on this machine. It is measured once and kept in `products.json` of the cache folder,
/// because another choice would round in another way, and results of one machine are to stay the same.
enum ProductChoice {
  /// Takes the choice that is kept for this kind of CPU; where there is none, or none that can be followed, measures and keeps it.
  static func apply(cacheFolder: String) {
    settle(cacheFolder, isThere: follow) { choice in
      Products.measure()
      for kind in Products.allCases { choice[kind.rawValue] = .string(kind.provider) }
    }
  }

  /// The precision that was measured first on this kind of CPU, by whatever process: processes that share out their work have to agree.
  static func precision(cacheFolder: String) -> Precision {
    var precision = Precision.current
    func isThere(_ choice: JSONObject) -> Bool {
      guard let kept = choice["precision"]?.stringValue.flatMap(Precision.init(rawValue:)) else { return false }
      precision = kept
      return true
    }
    settle(cacheFolder, isThere: isThere) { choice in
      precision = Precision.measured().choice
      choice["precision"] = .string(precision.rawValue)
    }
    return precision
  }

  /// Lets one process at a time measure what is not kept yet, so that all of them follow the first.
  private static func settle(_ cacheFolder: String, isThere: (JSONObject) -> Bool, measure: (inout JSONObject) -> Void) {
    let path = cacheFolder + "/products.json"
    let machine = "\(HostFacts.current().cpu ?? "unknown"), perigee \(EngineSetup.version), \(Products.candidates)"
    func choice(in choices: JSONObject) -> JSONObject { choices[machine]?.objectValue ?? JSONObject() }
    if isThere(choice(in: kept(path))) { return }
    var isDecided = false
    func decide() {
      isDecided = true
      var choices = kept(path)
      if isThere(choice(in: choices)) { return }
      var made = choice(in: choices)
      measure(&made)
      choices[machine] = .object(made)
      // Where it cannot be kept, it is measured again the next time.
      try? createFolder(cacheFolder)
      try? AtomicFile.write(.object(choices), to: path)
    }
    try? exclusively(cacheFolder + "/products.lease") { decide() }
    if !isDecided { decide() }
  }

  /// What is kept, by machine; nothing where the file is damaged.
  private static func kept(_ path: String) -> JSONObject { (try? JSONValue(file: path))?.objectValue ?? [:] }

  /// False where a kind is missing, or cannot be multiplied so here.
  private static func follow(_ choice: JSONObject) -> Bool {
    let names = Products.allCases.map { choice[$0.rawValue]?.stringValue }
    return zip(Products.allCases, names).allSatisfy { kind, name in name.map(kind.choose) ?? false }
  }
}
