package main

import "syscall"

// mountSmall mounts an empty volume of a size, like 48m. It needs the rights of root.
func mountSmall(path, size string) error {
	return syscall.Mount("tmpfs", path, "tmpfs", 0, "size="+size)
}

func unmount(path string) error { return syscall.Unmount(path, 0) }
