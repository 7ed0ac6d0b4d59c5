/// The members of a JSON object, in the order of the file or of insertion.
///
/// Keys are compared byte by byte. Swift's own `String` equality is Unicode's canonical
/// equivalence, under which two different vocabulary entries (a composed and a decomposed letter)
/// would be one.
public struct JSONObject: Sendable, ExpressibleByDictionaryLiteral {
  public private(set) var keys: [String] = []
  public private(set) var values: [JSONValue] = []
  private var index: [ExactKey: Int] = [:]

  /// Below this many members a linear search beats a hash table, and most objects are that small.
  private static let linearLimit = 8

  /// An object without members.
  public init() {}

  /// Later duplicates of a key replace earlier ones.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    for (key, value) in elements { self[key] = value }
  }

  /// Later duplicates of a key replace earlier ones.
  public init(_ members: some Sequence<(String, JSONValue)>) {
    for (key, value) in members { self[key] = value }
  }

  public var count: Int { keys.count }
  public var isEmpty: Bool { keys.isEmpty }

  /// Key and value of each member, in order.
  public var members: Zip2Sequence<[String], [JSONValue]> { zip(keys, values) }

  /// The member of that name. Setting appends or replaces; setting nil removes.
  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { values[$0] } }
    set {
      switch (position(of: key), newValue) {
      case (let place?, let value?):
        values[place] = value
      case (nil, let value?):
        _ = append(key, value)
      case (let place?, nil):
        keys.remove(at: place)
        values.remove(at: place)
        index = [:]
        if keys.count > Self.linearLimit { indexAll() }
      case (nil, nil):
        break
      }
    }
  }

  /// Appends a member. False, and nothing changed, if there is one of that name.
  mutating func append(_ key: String, _ value: JSONValue) -> Bool {
    if keys.count < Self.linearLimit {
      if position(of: key) != nil { return false }
    } else {
      let exact = ExactKey(string: key)
      if keys.count == Self.linearLimit { indexAll() }
      if let place = index.updateValue(keys.count, forKey: exact) {
        index[exact] = place
        return false
      }
    }
    keys.append(key)
    values.append(value)
    return true
  }

  private func position(of key: String) -> Int? {
    let wanted = ExactKey(string: key)
    if keys.count > Self.linearLimit { return index[wanted] }
    return keys.firstIndex { ExactKey(string: $0) == wanted }
  }

  private mutating func indexAll() {
    for (place, key) in keys.enumerated() { index[ExactKey(string: key)] = place }
  }
}

extension JSONObject: Equatable {
  /// Equal members; their order does not matter.
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.count == b.count && a.members.allSatisfy { b[$0] == $1 }
  }
}

/// A string that is equal and hashes by its UTF-8 bytes.
private struct ExactKey: Hashable {
  let string: String

  static func == (a: ExactKey, b: ExactKey) -> Bool {
    let (x, y) = (a.string.utf8, b.string.utf8)
    return x.count == y.count && x.elementsEqual(y)
  }

  func hash(into hasher: inout Hasher) {
    if string.utf8.withContiguousStorageIfAvailable({ hasher.combine(bytes: .init($0)) }) == nil {
      for byte in string.utf8 { hasher.combine(byte) }
    }
  }
}
