module virtengine.example/legacydec

go 1.24

require cosmossdk.io/math v1.4.0

require golang.org/x/exp v0.0.0-20221205204356-47842c84f3db // indirect
