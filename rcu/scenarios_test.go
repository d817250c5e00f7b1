package rcu

var scenarios = map[string]func(){}
