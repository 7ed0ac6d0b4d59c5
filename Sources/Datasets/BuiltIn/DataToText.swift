extension BuiltIn {
  /// Attributes of a restaurant, and sentences that say them.
  struct Description {
    let attributes: [(name: String, value: String)]
    /// Three ways to say them.
    let texts: [String]
    /// Whether no training example has its name.
    let isHeldOut: Bool
  }

  /// Restaurants in the manner of the E2E NLG Challenge: 1,000 to train on, 100 for validation, and 100 to test on, half of which have
  /// names that training does not have, though it has each of their words. No list of attributes occurs twice.
  static func dataToText(_ part: DataPart) -> [Description] {
    var random = SplitMix64(seed: 0x6532_6500)
    var seen: Set<String> = []
    func draw(_ count: Int, isHeldOut: (Int) -> Bool) -> [Description] {
      (0..<count).map { index in
        var description: Description
        repeat { description = restaurant(isHeldOut: isHeldOut(index), &random) } while !seen.insert(description.texts[0]).inserted
        return description
      }
    }
    let test = draw(100) { $0 % 2 == 1 }
    if part == .test { return test }
    let validation = draw(100) { _ in false }
    return part == .validation ? validation : draw(1_000) { _ in false }
  }

  private static let firstNames = ["Golden", "Blue", "Green", "Red", "Royal", "Silver", "Happy", "Old"]
  private static let lastNames = ["Palace", "Curry", "Spice", "Garden", "Mill", "Vine", "Oak", "Barrel"]

  private static func restaurant(isHeldOut: Bool, _ random: inout SplitMix64) -> Description {
    let first = random.below(firstNames.count)
    // The diagonal is held out.
    let last = isHeldOut ? first : (first + 1 + random.below(lastNames.count - 1)) % lastNames.count
    let name = "\(firstNames[first]) \(lastNames[last])"
    func value(_ percent: Int, _ values: [String]) -> String? { random.chance(percent) ? random.pick(values) : nil }
    let values: [(name: String, value: String?)] = [
      ("name", name), ("eatType", value(100, ["pub", "restaurant", "coffee shop"])), ("food", value(70, ["Indian", "Chinese", "Italian", "French"])),
      ("priceRange", value(60, ["cheap", "moderate", "high"])), ("area", value(70, ["riverside", "city centre"])),
      ("familyFriendly", value(50, ["yes", "no"])), ("near", value(30, ["Crown Hotel", "Grand Station", "City Museum"])),
    ]
    let attributes = values.compactMap { item in item.value.map { (name: item.name, value: $0) } }
    return Description(
      attributes: attributes, texts: sentences(Dictionary(uniqueKeysWithValues: attributes.map { ($0.name, $0.value) })), isHeldOut: isHeldOut)
  }

  private static func sentences(_ attributes: [String: String]) -> [String] {
    let name = attributes["name"] ?? ""
    let price = attributes["priceRange"].map { $0 == "cheap" ? "cheap" : $0 == "high" ? "high priced" : "moderately priced" }
    let words = [price, attributes["food"], attributes["eatType"]].compactMap { $0 }.joined(separator: " ")
    let noun = (words.hasPrefix("I") ? "an " : "a ") + words
    let place = attributes["area"].map { " in the \($0)" } ?? ""
    let near = attributes["near"].map { " near \($0)" } ?? ""
    func families(_ yes: String, _ no: String) -> String { attributes["familyFriendly"].map { $0 == "yes" ? yes : no } ?? "" }
    return [
      "\(name) is \(noun)\(place)\(near).\(families(" It is family friendly.", " It is not family friendly."))",
      "There is \(noun) called \(name)\(place)\(near).\(families(" Families are welcome.", " Families are not welcome."))",
      "For \(noun)\(place)\(near), go to \(name).\(families(" Bring the children.", " Leave the children at home."))",
    ]
  }
}
