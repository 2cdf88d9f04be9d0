package proxy

import "miroir/tasks"

// ShowRepairs names what lists the repairs of replicas that this pod works on.
func (s *Server) ShowRepairs(list func() []tasks.Repair) { s.repairing.Store(&list) }

// repairs lists the repairs that this pod works on, none unless it leads.
func (s *Server) repairs() []tasks.Repair {
	if list := s.repairing.Load(); list != nil {
		return (*list)()
	}
	return []tasks.Repair{}
}
