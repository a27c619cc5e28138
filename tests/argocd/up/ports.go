package up

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// A block of ports that belongs to one instance. The first of them is held open as the block's lock, so that
// instances side by side never share one, also while a part is down.
//
// The blocks lie below the ports that systems give to outgoing connections: such a connection could take the
// port of a part that is down.
type block struct {
	lock net.Listener
	next int
	end  int
}

const (
	blockSize  = 16
	firstBlock = 12000 / blockSize
	lastBlock  = 31000 / blockSize
)

func takeBlock() (*block, error) {
	for range 1000 {
		base := (firstBlock + rand.IntN(lastBlock-firstBlock)) * blockSize
		lock, err := net.Listen("tcp", address(base))
		if err != nil {
			continue
		}
		return &block{lock: lock, next: base + 1, end: base + blockSize}, nil
	}
	return nil, fmt.Errorf("no free block of ports below %d", lastBlock*blockSize)
}

// port is the next one of the block that nothing listens on.
func (b *block) port() (int, error) {
	for ; b.next < b.end; b.next++ {
		if l, err := net.Listen("tcp", address(b.next)); err == nil {
			_ = l.Close()
			b.next++
			return b.next - 1, nil
		}
	}
	return 0, fmt.Errorf("the block of ports is used up")
}

func (b *block) free() { _ = b.lock.Close() }

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
