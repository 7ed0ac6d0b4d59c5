import Foundation
import LuaHost
import TestSupport
import Testing

/// Functions of the string, table and base libraries that are our own answer as Lua's.
@Suite struct LibraryTests {
  /// The answers are Lua 5.4.4's, from Generators/libraries.lua.
  @Test func answersAsLuaDoes() throws {
    let text = try String(contentsOfFile: packageRoot + "/Tests/LuaHostTests/Fixtures/libraries.txt", encoding: .utf8)
    let parts = text.components(separatedBy: "----\n")
    let rows = parts[1].split(separator: "\n").map { $0.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false) }
    #expect(rows.count > 600)
    let host = try Host()
    for row in rows {
      let printed = try host.printed("\(parts[0])print(answer(\(row[0])))")
      #expect(printed == [String(row[1])], "\(row[0])")
    }
  }

  /// Lua's own sorts equal elements as the clock will have it.
  @Test func sortingKeepsEqualElementsInOrder() throws {
    #expect(
      try Host().printed(
        """
        local t = {}
        for i = 1, 1000 do t[i] = { key = i % 7, i = i } end
        table.sort(t, function(a, b) return a.key < b.key end)
        for i = 2, 1000 do
          local a, b = t[i - 1], t[i]
          assert(a.key < b.key or (a.key == b.key and a.i < b.i))
        end
        print(t[1].key, t[1].i, t[1000].key, t[1000].i)
        """) == ["0\t7\t6\t1000"])
  }

  /// An error in the comparison leaves the list as it was.
  @Test func failedSortingChangesNothing() throws {
    #expect(
      try Host().printed(
        """
        local t = { 3, 2, 1, 'x', 0 }
        print(pcall(table.sort, t))
        print(table.concat(t, ' '))
        """) == ["false\tattempt to compare string with number", "3 2 1 x 0"])
  }
}
