// Package chart pins the programs that check Popeye's chart, apart from Popeye's own
// dependencies.
package chart
