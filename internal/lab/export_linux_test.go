package lab

// IsOver is isOver.
var IsOver = isOver
