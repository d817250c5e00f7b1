module quiesce/cmd/quiesced

go 1.26.0

require quiesce v0.0.0

replace quiesce => ../..
