module onebox.local/pause

go 1.24.0
