module junto

go 1.19
