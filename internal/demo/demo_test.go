package demo

import ("testing";"context";"time";"encoding/json";"fmt";"runtime")

func TestX(t *testing.T) {
	rep, err := Run(context.Background(), Config{Dir: runtime.GOROOT()+"/src", Duration: 10*time.Second, Seed: 1, Flood: 1000000}, func(s Status){ if s.Phase!=Walk&&s.Phase!=Load {fmt.Printf("%+v\n", s)}})
	b,_ := json.MarshalIndent(rep, "", " ")
	fmt.Println(string(b), err)
}
