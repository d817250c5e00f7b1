package depcheck

// The sizes of the tables, for the tests of package lockdep.
const (
	MaxClasses = maxClasses - 1
	MaxOrders  = maxEdges - 1
	MaxChains  = maxChains / 4 * 3
	MaxStacks  = maxStacks - 1
	MaxFaults  = maxFaults
	MaxTasks   = maxTasks
	MaxHeld    = maxHeld
)
